//! Password hashes: argon2id with 19 MiB, 2 passes, 1 lane (an OWASP set), in a bounded pool.
//!
//! A hash takes a core for about 20 ms and 19 MiB for as long. Unbounded, a crowd that logs in just before a sale
//! would take all memory and all cores; so as many run as there are cores, some wait, and the rest is told to come
//! back.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::try_generate_salt;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use common::pool::{Full, Pool};
use prometheus::Histogram;

use crate::error::Error;

/// A stored hash that no password matches.
pub(crate) const UNUSABLE: &str = "!";

/// Hashes and verifies. Clones share the pool.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    pool: Pool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Verified where there is no account, so that the answer takes as long as where there is one.
    dummy: String,
    /// What hashes were computed in, kept for the next ones: to get it from the system and to have it cleared took a
    /// millisecond of each, and the allocator kept a piece for each thread that ever computed one, 700 MB in all. One for
    /// each that runs at once.
    memories: Mutex<Vec<Memory>>,
    seconds: Histogram,
}

type Memory = Vec<Block>;

/// What a password turned out to be.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The stored hash's.
    pub(crate) is_right: bool,
    /// Its hash with today's parameters, where the stored one has others.
    pub(crate) renewed: Option<String>,
}

impl Hasher {
    /// A pool that computes `at_once` hashes and lets `waiting_max` more wait.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub(crate) fn new(at_once: NonZeroUsize, waiting_max: usize, seconds: Histogram) -> anyhow::Result<Self> {
        let (dummy, memories) = (hash("no account has this password")?, Mutex::default());
        let shared = Arc::new(Shared { dummy, memories, seconds });
        Ok(Self { pool: Pool::new(at_once, waiting_max), shared })
    }

    /// The hash to store.
    ///
    /// # Errors
    /// [`Error::Busy`] when the pool is full.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Error> {
        Ok(self.compute(move |_, memory| hash_in(&password, memory)).await??)
    }

    /// Whether the password is the stored hash's. Takes as long without one, or with one that is unusable. A right one
    /// is hashed anew where the stored hash was made with other parameters than today's.
    ///
    /// # Errors
    /// [`Error::Busy`] when the pool is full.
    pub(crate) async fn verify(&self, password: String, stored: Option<String>) -> Result<Checked, Error> {
        let check = move |dummy: &str, memory: &mut Memory| -> anyhow::Result<Checked> {
            let dummy = PasswordHash::new(dummy).expect("made by this module");
            let Some(Ok(stored)) = stored.as_deref().map(PasswordHash::new) else {
                std::hint::black_box(matches(&password, &dummy, memory));
                return Ok(Checked { is_right: false, renewed: None });
            };
            let is_right = matches(&password, &stored, memory);
            let of = |hash: &PasswordHash| (hash.algorithm, hash.version, hash.params.clone());
            let is_dated = is_right && of(&stored) != of(&dummy);
            Ok(Checked { is_right, renewed: is_dated.then(|| hash_in(&password, memory)).transpose()? })
        };
        Ok(self.compute(check).await??)
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&str, &mut Memory) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        let timed = move || {
            let memories = || shared.memories.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = memories().pop().unwrap_or_default();
            let result = shared.seconds.observe_closure_duration(|| work(&shared.dummy, &mut memory));
            memories().push(memory);
            result
        };
        self.pool.run(timed).await.map_err(|Full| Error::Busy)
    }
}

/// Computes a hash right here.
///
/// # Errors
/// When there are no random numbers.
pub(crate) fn hash(password: &str) -> anyhow::Result<String> {
    hash_in(password, &mut Memory::new())
}

fn hash_in(password: &str, memory: &mut Memory) -> anyhow::Result<String> {
    let (argon2, salt) = (argon2(), try_generate_salt().context("no random numbers")?);
    let mut hash = [0; Params::DEFAULT_OUTPUT_LEN];
    compute(&argon2, (password, &salt), &mut hash, memory).context("hashing")?;
    let made = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(argon2.params())?,
        salt: Some(Salt::new(&salt)?),
        hash: Some(Output::new(&hash)?),
    };
    Ok(made.to_string())
}

fn matches(password: &str, stored: &PasswordHash, memory: &mut Memory) -> bool {
    let parts = (stored.salt.as_ref(), stored.hash.as_ref(), maker(stored));
    let (Some(salt), Some(hash), Some(argon2)) = parts else { return false };
    let mut found = [0; Output::MAX_LENGTH];
    let found = &mut found[..hash.len()];
    let done = compute(&argon2, (password, salt), found, memory);
    // Comparing them takes as long wherever they differ.
    done.is_ok() && Output::new(found).is_ok_and(|found| found == *hash)
}

fn compute(
    argon2: &Argon2<'_>,
    (password, salt): (&str, &[u8]),
    hash: &mut [u8],
    memory: &mut Memory,
) -> argon2::Result<()> {
    memory.resize(memory.len().max(argon2.params().block_count()), Block::new());
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, hash, memory.as_mut_slice())
}

/// What the stored hash was made with.
fn maker(stored: &PasswordHash) -> Option<Argon2<'static>> {
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = stored.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    Some(Argon2::new(algorithm, version, Params::try_from(stored).ok()?))
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordHasher;

    use super::*;

    fn hasher(at_once: usize, waiting_max: usize) -> Hasher {
        let seconds = common::metrics::make::Histogram("hash_seconds", "test", &[]).unwrap();
        Hasher::new(at_once.try_into().unwrap(), waiting_max, seconds).unwrap()
    }

    #[tokio::test]
    async fn only_the_right_password_verifies() {
        let hasher = hasher(1, 0);
        let stored = hasher.hash("right-horse-1".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let kept = hasher.shared.memories.lock().unwrap()[0].len();
        assert_eq!(kept, 19_456, "KiB are kept for the next one");
        assert!(hasher.verify("right-horse-1".into(), Some(stored.clone())).await.unwrap().is_right);
        assert!(!hasher.verify("wrong-horse-1".into(), Some(stored)).await.unwrap().is_right);
    }

    #[tokio::test]
    async fn nothing_verifies_without_a_usable_hash() {
        let hasher = hasher(1, 0);
        for stored in [None, Some(UNUSABLE.to_owned()), Some(String::new())] {
            assert!(!hasher.verify("no account has this password".into(), stored).await.unwrap().is_right);
        }
        assert_eq!(hasher.shared.seconds.get_sample_count(), 3, "each costs a whole hash");
    }

    #[tokio::test]
    async fn a_right_password_under_a_dated_hash_is_hashed_anew() {
        let hasher = hasher(1, 0);
        let weaker = Params::new(8 * 1024, 1, 1, None).unwrap();
        let weaker = Argon2::new(Algorithm::Argon2id, Version::V0x13, weaker);
        let dated = PasswordHasher::hash_password(&weaker, b"right-horse-1").unwrap().to_string();
        let wrong = hasher.verify("wrong-horse-1".into(), Some(dated.clone())).await.unwrap();
        assert!(!wrong.is_right && wrong.renewed.is_none());
        let right = hasher.verify("right-horse-1".into(), Some(dated)).await.unwrap();
        let renewed = right.renewed.filter(|_| right.is_right).unwrap();
        assert!(renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{renewed}");
        let again = hasher.verify("right-horse-1".into(), Some(renewed)).await.unwrap();
        assert!(again.is_right && again.renewed.is_none());
    }

    #[tokio::test]
    async fn a_full_pool_refuses_and_an_empty_one_does_not() {
        let hasher = hasher(1, 1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let mut running = std::pin::pin!(hasher.pool.run(move || ended.recv().is_err()));
        let mut waiting = std::pin::pin!(hasher.pool.run(|| ()));
        assert!(futures::poll!(&mut running).is_pending() && futures::poll!(&mut waiting).is_pending());
        assert!(matches!(hasher.hash("some-password-1".into()).await, Err(Error::Busy)));
        drop(end);
        assert!(running.await.unwrap());
        waiting.await.unwrap();
        assert!(hasher.hash("some-password-1".into()).await.is_ok());
    }
}
