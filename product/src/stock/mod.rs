//! The stock of every product: who gets a unit is decided here and nowhere else.
//!
//! One writer per partition of `stock.commands.v1` decides in memory and journals a batch per transaction. Three
//! things independently keep it from selling a unit twice: the cursor, which admits one writer per range of the log;
//! the conditional update of the counts; the tables' constraints.
//!
//! - [`rules`]: the decision, pure.
//! - [`store`]: what a writer loads, most of it by [`mod@copy`]. [`journal`]: what it writes, one transaction per batch.
//! - [`turns`]: sales sold out, or with units again.
//! - [`lane`]: one partition: drain, decide, journal; what happens when that fails.
//! - [`writer`]: the thread that reads the log and gives each assigned partition its lane.
//! - [`http`]: a seller's adjustments; they take the same way through the log.

pub mod copy;
pub mod http;
pub mod journal;
pub mod lane;
pub mod rules;
pub mod store;
pub mod turns;
pub mod writer;
