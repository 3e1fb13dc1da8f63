//! What the databases, the topics, the rooms' logs and the payment provider say; the shoppers' own notes count only as
//! what was promised to them.
//!
//! - [`stock`]: units. [`orders`]: orders, and that every promise was kept. [`path`]: their way from state to state.
//!   [`money`]: payments and refunds. [`topics`]: the log between the services, which [`replay`] decides once more.
//! - [`rush`]: judges one sale that was just played, with all this and its room. [`pipeline`]: judges a whole shop,
//!   running or at rest. Both take the same rules, of [`look`](mod@look).
//! - [`room`]: a sale's waiting room by its log in the topic: [`log`] reads it and holds its chain against the hashes,
//!   [`line`](mod@line) replays it. [`queue`]: the same of any room, whoever ran the sale. [`rehearsal`]: a log to
//!   measure that by.
//! - [`check`]: rules, and the cases that break them.

mod answers;
pub(crate) mod check;
mod line;
mod log;
mod look;
mod money;
mod orders;
mod path;
pub(crate) mod pipeline;
pub(crate) mod queue;
mod rehearsal;
mod replay;
mod room;
pub(crate) mod rush;
mod stock;
mod topics;

pub(crate) use check::Check;
pub(crate) use topics::Marks;
