//! The waiting room over HTTP, on real Redis and Kafka.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod budget;
mod clock;
mod inputs;
mod join;
mod limits;
mod live;
mod model;
mod moments;
mod operate;
mod orders;
mod presence;
mod recovery;
mod relay;
mod replay;
mod schedule;
mod shop;
mod slow;
mod stock;
mod tokens;
mod turn;
