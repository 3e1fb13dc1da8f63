//! The gateway over TCP, in front of services that note what reaches them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attacks;
mod balance;
mod browser;
mod cookie;
mod denied;
mod gate;
mod hygiene;
mod identify;
mod limits;
mod log;
mod matrix;
mod overload;
mod pages;
mod pass;
mod rate;
mod revoked;
mod rotation;
mod routing;
mod smuggling;
mod streaming;
mod streams;
mod tunnel;
mod upstream_down;
