//! The whole platform, end to end: every service a process of its own, everything over HTTP through the gateway.
//!
//! Most tests share one stack, apart by product and shoppers; those that kill processes start their own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod buy;
mod chaos;
mod crash;
mod dashboard;
mod letters;
mod likes;
mod logins;
mod pictures;
mod proof;
#[path = "../infra/dashboard.rs"]
mod queries;
mod rooms;
mod rush;
mod seller;
mod shop;
mod timing;
mod tokens;
