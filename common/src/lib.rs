//! What crosses a process boundary, and the plumbing that at least two crates use.
//!
//! - [`wire`]: ids, money, events, tokens, bodies, the problem body: plain data, no I/O.
//! - [`auth`]: signing and verifying identities, passes and the inside assertion.
//! - [`http`]: accept loop, extractors, problem answers, access log, health and metrics endpoints.
//! - `pg`, `redis`, `kafka`, `outbox`: a service's stores and its log, each behind the feature of its name.
//! - `dead_letter`: records that nobody could use: kept, listed, sent again.
//! - [`pool`]: work that takes a core, bounded.
//! - [`client`]: calls from one service to another. [`cli`]: the command line of a service with tools.
//! - [`draw`]: the order of a line that is drawn by lot.
//! - [`clock`], [`config`], [`mod@metrics`], [`stop`], [`telemetry`]: time, settings, figures, life time, logs.

pub mod auth;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
#[cfg(all(feature = "pg", feature = "kafka"))]
pub mod dead_letter;
pub mod draw;
pub mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod metrics;
#[cfg(all(feature = "pg", feature = "kafka"))]
pub mod outbox;
#[cfg(feature = "pg")]
pub mod pg;
pub mod pool;
#[cfg(feature = "redis")]
pub mod redis;
pub mod stop;
pub mod telemetry;
pub mod wire;
