//! What was verified, by the token that proved it: bounded, and found by comparing the whole token.
//!
//! Two generations per shard: the young one is filled; when it is full it becomes the old one and the former old one is
//! dropped as a whole. What is used moves to the young one. So the bound holds without a list of uses.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use foldhash::quality::RandomState;

/// Enough that requests on several cores seldom wait for one another.
const SHARDS: usize = 16;

/// Values by token.
#[derive(Debug)]
pub struct Cache<V> {
    shards: Vec<Mutex<Generations<V>>>,
    generation_max: usize,
}

/// The hash has a random key of this process; tokens of a kind that collides cannot be made without it.
type Generation<V> = HashMap<Box<str>, V, RandomState>;

#[derive(Debug)]
struct Generations<V> {
    young: Generation<V>,
    old: Generation<V>,
}

impl<V: Clone> Cache<V> {
    /// A cache of at most about `max` values.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let empty = || Mutex::new(Generations { young: HashMap::default(), old: HashMap::default() });
        let shards = (0..SHARDS).map(|_| empty()).collect();
        Self { shards, generation_max: max.div_ceil(2 * SHARDS) }
    }

    /// The value kept for a token.
    #[must_use]
    pub fn get(&self, token: &str) -> Option<V> {
        let mut shard = self.shard(token).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = shard.young.get(token) {
            return Some(value.clone());
        }
        let (token, value) = shard.old.remove_entry(token)?;
        shard.put(token, value.clone(), self.generation_max);
        Some(value)
    }

    /// Keeps a value, in the place of an earlier one.
    pub fn put(&self, token: &str, value: V) {
        let mut shard = self.shard(token).lock().unwrap_or_else(PoisonError::into_inner);
        shard.old.remove(token);
        shard.put(token.into(), value, self.generation_max);
    }

    /// By the last characters: a signature's, which are as good as random.
    fn shard(&self, token: &str) -> &Mutex<Generations<V>> {
        let sum: usize = token.bytes().rev().take(4).map(usize::from).sum();
        &self.shards[sum % SHARDS]
    }
}

impl<V> Generations<V> {
    fn put(&mut self, token: Box<str>, value: V, max: usize) {
        if self.young.len() >= max {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(token, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of one shard.
    fn token(n: u16) -> String {
        format!("{n}.same")
    }

    #[test]
    fn a_later_value_takes_the_place_of_an_earlier_one() {
        let cache = Cache::new(100);
        cache.put("one", 1);
        cache.put("one", 2);
        assert_eq!((cache.get("one"), cache.get("on"), cache.get("")), (Some(2), None, None));
    }

    #[test]
    fn the_bound_holds_and_what_is_used_stays() {
        let cache = Cache::new(SHARDS * 20);
        for n in 0..1_000 {
            cache.put(&token(n), n);
            assert_eq!(cache.get(&token(0)), Some(0), "used all the time");
        }
        let kept = (0..1_000).filter(|&n| cache.get(&token(n)).is_some()).count();
        assert!(kept <= 20, "{kept} kept");
    }
}
