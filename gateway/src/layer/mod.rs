//! One layer per file. Each is a tower service around the next one; [`mod@crate::stack`] says in which order and why.
//!
//! No layer ever makes its caller wait in `poll_ready`: limits are checked in `call`, where a refusal can be answered.
//! So a clone may be called without being polled first.

pub mod body_limit;
pub mod deadline;
pub mod hygiene;
pub mod identify;
pub mod name;
pub mod observe;
pub mod rate_account;
pub mod rate_address;
pub mod require_pass;
pub mod shed;
pub mod vouch;

use std::future::ready;

use futures::future::BoxFuture;
use http::Response;
use tower::Service;

use crate::body::Body;
use crate::error::Error;

/// What comes of a request inside the stack.
pub type Pending = BoxFuture<'static, Result<Response<Body>, Error>>;

/// What a layer expects of the next one.
pub trait Next<R>:
    Service<R, Response = Response<Body>, Error = Error, Future = Pending> + Clone + Send + 'static
{
}

impl<R, S> Next<R> for S where
    S: Service<R, Response = Response<Body>, Error = Error, Future = Pending> + Clone + Send + 'static
{
}

/// A refusal.
fn refused(error: Error) -> Pending {
    Box::pin(ready(Err(error)))
}
