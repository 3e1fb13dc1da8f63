//! The pages in a real browser, against the whole platform.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod bytes;
mod lines;
mod pages;
mod pictures;
mod plain;
#[path = "../sale/shop.rs"]
#[expect(dead_code, reason = "what pages do, the sale's tests do over HTTP")]
mod shop;
mod turn;
mod window;
