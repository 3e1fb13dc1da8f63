//! What people are told: a box of notices for each account, and a live stream of it.
//!
//! - [`sales`]: what is known of every sale, by `product.events.v1` and `stock.decisions.v1`; which ones begin.
//! - [`announce`]: one event, told to all subscribers of a product, batch by batch.
//! - [`events`]: what comes in from Kafka.
//! - [`rules`]: what is worth a notice, and the name of its event.
//! - [`store`]: the boxes. [`http`]: reading them. [`live`]: the stream. [`forget`]: old notices go.
//!
//! Another kind of notice is a variant of [`Notice`](common::wire::notice::Notice), a name of its event in [`rules`], and
//! whoever learns of the event: it calls [`store::put`] for one reader, [`announce::put`] for all subscribers of a product.

pub(crate) mod announce;
pub(crate) mod events;
pub(crate) mod forget;
pub(crate) mod http;
pub(crate) mod live;
mod rules;
pub(crate) mod sales;
pub(crate) mod store;
