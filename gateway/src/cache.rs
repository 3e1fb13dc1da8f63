//! What was verified, kept until it ends: bounded, and never a moment longer than its `exp`.
//!
//! Two generations per shard: the young one is filled; when it is full it becomes the old one and the former old one is
//! dropped as a whole. What is used moves to the young one. So the bound holds without a list of uses.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use crate::tokens::Digest;

/// Enough that requests on several cores seldom wait for one another.
const SHARDS: usize = 16;

/// Values by digest, each until its own end.
#[derive(Debug)]
pub struct Cache<V> {
    shards: Vec<Mutex<Generations<V>>>,
    generation_max: usize,
}

type Generation<V> = HashMap<Digest, Kept<V>>;

#[derive(Debug)]
struct Generations<V> {
    young: Generation<V>,
    old: Generation<V>,
}

#[derive(Debug, Clone)]
struct Kept<V> {
    value: V,
    until_s: i64,
}

impl<V: Clone> Cache<V> {
    /// A cache of at most about `max` values.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let empty = || Mutex::new(Generations { young: HashMap::new(), old: HashMap::new() });
        let shards = (0..SHARDS).map(|_| empty()).collect();
        Self { shards, generation_max: max.div_ceil(2 * SHARDS) }
    }

    /// The value, when it has not ended at `now_s`.
    #[must_use]
    pub fn get(&self, key: &Digest, now_s: i64) -> Option<V> {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        let found = match shard.young.get(key) {
            Some(kept) => kept.clone(),
            None => {
                let kept = shard.old.remove(key)?;
                shard.put(*key, kept.clone(), self.generation_max);
                kept
            }
        };
        Some(found).filter(|kept| now_s < kept.until_s).map(|kept| kept.value)
    }

    /// Keeps a value until `until_s`, seconds since 1970.
    pub fn put(&self, key: Digest, value: V, until_s: i64) {
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        shard.put(key, Kept { value, until_s }, self.generation_max);
    }

    fn shard(&self, key: &Digest) -> &Mutex<Generations<V>> {
        &self.shards[usize::from(key[0]) % SHARDS]
    }
}

impl<V> Generations<V> {
    fn put(&mut self, key: Digest, kept: Kept<V>, max: usize) {
        if self.young.len() >= max {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u16) -> Digest {
        let mut key = [0; 32];
        key[1..3].copy_from_slice(&n.to_be_bytes());
        key
    }

    #[test]
    fn a_value_ends_at_its_second() {
        let cache = Cache::new(100);
        cache.put(key(1), "one", 50);
        assert_eq!(cache.get(&key(1), 49), Some("one"));
        assert_eq!(cache.get(&key(1), 50), None);
    }

    #[test]
    fn the_bound_holds_and_what_is_used_stays() {
        let cache = Cache::new(SHARDS * 20);
        for n in 0..1_000 {
            cache.put(key(n), n, 1_000);
            assert_eq!(cache.get(&key(0), 0), Some(0), "used all the time");
        }
        let kept = (0..1_000).filter(|&n| cache.get(&key(n), 0).is_some()).count();
        assert!(kept <= 20, "{kept} kept");
    }
}
