//! Real servers for tests and for development, and what a test needs to talk to them.
//!
//! | room | what |
//! |---|---|
//! | [`redis`], [`postgres`], [`kafka`] | one server each: its settings, when it is ready, how it is killed and started again |
//! | [`process`] | child processes that die with this one, with a log file, readiness and an orderly stop |
//! | [`port`] | ports that parallel launchers do not take from each other |
//! | [`packages`] | the system packages all this needs |
//! | [`jars`] | Apache Kafka from Maven, fetched once |
//! | `isolate`, `issuers`, `client`, `events`, `eventually`, `wire`, `broker`, `own` | feature `clients`: a test's own corner of the servers, its tokens, its HTTP client, its event streams, its patience, its faults, servers to kill |
//! | `sandbox` | feature `sandbox`: the payment provider's stand-in |
//! | [`http`] | a small blocking HTTP client for readiness and for the launcher |
//!
//! Default features use the standard library alone, so that `cargo dev` runs on a machine that has none of the
//! packages yet.

pub mod error;
pub mod http;
pub mod jars;
pub mod kafka;
pub mod packages;
pub mod port;
pub mod postgres;
pub mod process;
pub mod redis;

pub use error::{Error, Result};

#[cfg(feature = "clients")]
pub mod broker;
#[cfg(feature = "clients")]
pub mod client;
#[cfg(feature = "clients")]
pub mod events;
#[cfg(feature = "clients")]
pub mod eventually;
#[cfg(feature = "clients")]
pub mod isolate;
#[cfg(feature = "clients")]
pub mod issuers;
#[cfg(feature = "clients")]
pub mod own;
#[cfg(feature = "clients")]
pub mod wire;

#[cfg(feature = "sandbox")]
pub mod sandbox;

#[cfg(feature = "clients")]
pub use client::clock;
#[cfg(feature = "clients")]
pub use eventually::eventually;
#[cfg(feature = "clients")]
pub use isolate::{database, redis_url, servers, topic_prefix};
