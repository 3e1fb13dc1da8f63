//! Likes: taken by Redis, written behind.
//!
//! Who likes a product is a set in Redis, so a like twice is one, and reading costs no row. What changes is noted beside
//! it in the same step; [`flush`] writes the notes to PostgreSQL in batches and then forgets them, so a service that dies
//! in between loses nothing and writes some twice, which changes nothing. A set that is not in Redis is read from
//! PostgreSQL.
//!
//! - [`counts`]: the sets. `store`: the rows. [`flush`]: from one to the other.
//! - [`http`]: liking. [`popular`]: what is liked most.

pub mod counts;
pub mod flush;
pub mod http;
pub mod popular;
mod store;
