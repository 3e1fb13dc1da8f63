//! Everything that crosses a process boundary.
//!
//! Rule of the folder: no I/O, no async, plain data with derives. A change here is a change of contract.
//! JSON is camelCase; times are RFC 3339 in UTC with `Z`; money is whole won; ids are 64-bit integers,
//! except orders and payments, which are `UUIDv7`.

pub mod catalog;
pub mod dead_letter;
pub mod denied;
pub mod event;
pub mod id;
pub mod list;
pub mod money;
pub mod notice;
pub mod operate;
pub mod order;
pub mod problem;
pub mod product;
pub mod queue;
pub mod room;
pub mod token;
pub mod user;

/// A moment, in UTC; on the wire RFC 3339 with `Z`, at most microseconds.
pub type Time = chrono::DateTime<chrono::Utc>;
