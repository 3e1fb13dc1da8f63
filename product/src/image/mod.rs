//! Pictures: uploaded before a product is saved, kept in an object store, and referred to by their keys.
//!
//! - [`picture`]: recognises, reads and writes them anew: three sizes without metadata. `avif`: that format, in `boxes`.
//! - [`objects`]: where they are kept. [`store`]: which there are, and which are wanted.
//! - [`http`]: uploading and serving. [`collect`]: those that no product refers to go after a day.
//!
//! A key is the SHA-256 of what was uploaded, so the same picture has the same key, and what is behind a key never changes.

mod avif;
mod boxes;
pub mod collect;
pub mod http;
pub mod objects;
pub mod picture;
pub mod store;

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Names a picture: 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// The key of an uploaded picture.
    #[must_use]
    pub fn of(upload: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(upload)))
    }

    /// A key, where the text is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
