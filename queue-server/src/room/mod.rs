//! A product's waiting room.
//!
//! - [`store`]: the room in Redis, and its steps: one typed function per script in `lua/`.
//! - [`rules`]: what a shopper is told about a place; what news of an order means.
//! - `http`: join, place, leave, token, admissions by hand, schedule.
//! - `joins`: registrations that come together go to the store together.
//! - `operate`: lists, pause, message, capacity, revocation, the draw.
//! - `token`: the access token.
//! - `tick`: time passes in every room, on every instance.
//! - `events`: what rooms learn of products, stock and orders.
//! - `catalog`: asks for a product that is not known yet.

pub(crate) mod catalog;
pub(crate) mod events;
pub(crate) mod http;
pub(crate) mod joins;
pub(crate) mod operate;
pub mod rules;
pub mod store;
pub(crate) mod tick;
mod token;
