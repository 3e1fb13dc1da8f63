//! The draw of a line: in which order people stand who registered before the opening, by a seed that was fixed before
//! any of them came. Whoever knows the seed can compute it again.

use sha1::{Digest as _, Sha1};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A new seed: 64 hexadecimal digits, 244 bits of them random.
#[must_use]
pub fn new_seed() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// What is published of a seed before the draw: the SHA-256 of its text, as hexadecimal digits.
#[must_use]
pub fn commitment(seed: &str) -> String {
    hex::encode(Sha256::digest(seed))
}

/// The ticket that `ticket` becomes in a draw of the tickets 1 to `count`: `count` + its place in the draw, so that no
/// number is given twice.
///
/// The place is a permutation of 1 to `count`: four rounds of a Feistel network over the cells of a rectangle that has
/// just room for all, walked on from cells that are no ticket (Black and Rogaway, "Ciphers with Arbitrary Finite
/// Domains", 2002). A round adds the first 32 bits of SHA-1(`seed:round:half`) to the other half.
///
/// # Panics
/// When `ticket` is not one of 1 to `count`.
#[must_use]
pub fn drawn(seed: &str, ticket: u64, count: u64) -> u64 {
    assert!((1..=count).contains(&ticket), "ticket {ticket} of {count}");
    let root = count.isqrt();
    let height = if root * root == count { root } else { root + 1 };
    let width = count.div_ceil(height);
    let mut cell = ticket - 1;
    loop {
        let (mut row, mut column) = (cell / width, cell % width);
        for round in 1..=4 {
            if round % 2 == 1 {
                row = (row + mix(seed, round, column)) % height;
            } else {
                column = (column + mix(seed, round, row)) % width;
            }
        }
        cell = row * width + column;
        if cell < count {
            return count + cell + 1;
        }
    }
}

fn mix(seed: &str, round: u32, half: u64) -> u64 {
    let digest = Sha1::digest(format!("{seed}:{round}:{half}"));
    u64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ticket_gets_one_place_and_every_place_one_ticket() {
        for count in (1..=300).chain([1_000, 4_096, 4_097]) {
            let mut places: Vec<u64> = (1..=count).map(|ticket| drawn("seed", ticket, count)).collect();
            places.sort_unstable();
            assert!(places.into_iter().eq(count + 1..=2 * count), "{count}");
        }
    }

    #[test]
    fn the_seed_decides_who_is_first() {
        let first = |seed: &str| (1..=1_000).find(|ticket| drawn(seed, *ticket, 1_000) == 1_001);
        let mut firsts: Vec<_> = (0..50).map(|seed| first(&seed.to_string())).collect();
        firsts.sort_unstable();
        firsts.dedup();
        // 50 of 1,000: about one of them twice.
        assert!(firsts.len() > 40, "{firsts:?}");
    }

    #[test]
    fn early_and_late_tickets_have_the_same_chances() {
        // Places 1 to 100 of 1,000: each tenth of the tickets has about ten of them, over 40 draws about 400.
        let mut tenths = [0_u32; 10];
        for seed in 0..40 {
            for ticket in 1..=1_000 {
                if drawn(&format!("s{seed}"), ticket, 1_000) <= 1_100 {
                    tenths[usize::try_from((ticket - 1) / 100).unwrap()] += 1;
                }
            }
        }
        // Standard deviation 19.
        assert!(tenths.iter().all(|hits| (320..480).contains(hits)), "{tenths:?}");
    }

    #[test]
    fn seeds_differ_and_their_commitments_are_their_hashes() {
        assert_ne!(new_seed(), new_seed());
        assert_eq!(new_seed().len(), 64);
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(commitment("abc"), known);
    }
}
