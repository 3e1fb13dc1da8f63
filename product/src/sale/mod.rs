//! Sales: every product is one, with a window, a price, a limit per shopper and a way to let people in.
//!
//! - [`rules`]: where a sale stands, by the clock, its window and what is available.
//! - [`zone`]: moments as sellers write them.
//! - [`announce`]: tells the stock stage and everybody else of a product's new version. [`turn`]: of each new state.

pub mod announce;
pub mod rules;
pub mod turn;
pub mod zone;
