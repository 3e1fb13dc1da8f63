//! The product service over HTTP and its log, on a real PostgreSQL and a real Kafka.

#![expect(clippy::unwrap_used, reason = "what a test cannot do without is there, or it fails")]

mod bucket;
mod catalog;
mod category;
mod company;
mod crash;
mod dead_letters;
mod image;
mod import;
mod like;
mod outage;
mod rush;
mod search;
mod seller;
mod service;
mod stock;
mod turn;
