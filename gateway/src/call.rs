//! A request on its way in. Each step that decides something takes one of these types and hands on the next, so that
//! a stack which leaves a decision out does not compile.

use std::net::IpAddr;
use std::sync::Arc;

use common::wire::token::{Identity, Pass};
use http::{HeaderValue, Request};
use hyper::body::Incoming;

use crate::body::Upload;
use crate::client::Client;
use crate::router::Target;
use crate::tokens::Proved;

/// As accepted.
#[derive(Debug)]
pub struct Arrived {
    /// The request, untouched.
    pub request: Request<Incoming>,
    /// Who is at the other end of the connection.
    pub peer: IpAddr,
}

/// With names under which it is found again.
#[derive(Debug)]
pub struct Named {
    /// As it arrived.
    pub arrived: Arrived,
    /// Its names.
    pub trace: Trace,
}

/// A request's names in logs and traces.
#[derive(Debug, Clone)]
pub struct Trace {
    /// `X-Request-Id`.
    pub id: HeaderValue,
    /// W3C trace context, with this hop as the parent.
    pub parent: HeaderValue,
    /// Whether the caller's own `tracestate` belongs to it.
    pub continued: bool,
}

/// With its row of the route table.
#[derive(Debug)]
pub struct Call {
    /// The request.
    pub request: Request<Upload>,
    /// Who sent it.
    pub client: Client,
    /// Its names.
    pub trace: Trace,
    /// Its row.
    pub target: Target,
}

/// With who is asking, as far as the route wants to know.
#[derive(Debug)]
pub struct Identified {
    /// The request.
    pub call: Call,
    /// The login.
    pub login: Option<Arc<Proved<Identity>>>,
}

/// Allowed by its route's rule.
#[derive(Debug)]
pub struct Cleared {
    /// The request.
    pub call: Call,
    /// The login.
    pub login: Option<Arc<Proved<Identity>>>,
    /// The access tokens that came with it, all verified.
    pub passes: Vec<Arc<Proved<Pass>>>,
}

/// Carrying nothing about its caller but what the gateway itself says.
#[derive(Debug)]
pub struct Vouched(pub Call);
