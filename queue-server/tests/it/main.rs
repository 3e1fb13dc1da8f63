//! The waiting room over HTTP, on real Redis and Kafka.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod budget;
mod inputs;
mod join;
mod model;
mod orders;
mod schedule;
mod shop;
mod stock;
mod turn;
