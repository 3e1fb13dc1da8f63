//! The keys that sign identities: from files, which are read again when they change, or from the environment.
//!
//! [`rotate`] is the command that moves them on. Its three files are the key that signs, the next one, published so that
//! everybody knows it before it signs, and the retired one, published until its last token has ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use common::auth::jwks::KeySet;
use common::auth::key::{Keyring, SigningKey};
use common::clock::Clock;
use common::config::Secret;
use common::stop::Stop;
use common::wire::Time;
use common::wire::token::Jwks;
use serde::Serialize;

use crate::session::IDENTITY_TTL_S;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// Between two rotations at least: until the last token of the key that goes has ended, and everybody has fetched the
/// one that comes (every 5 minutes).
const REST: Duration = Duration::from_secs(IDENTITY_TTL_S.unsigned_abs() + 60);

/// Where the keys come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// PKCS#8 PEM files, the first one signs.
    Files(Vec<PathBuf>),
    /// PKCS#8 PEM texts one after the other, the first one signs.
    Text(Secret<String>),
}

/// The keys as they are now. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    source: Arc<Source>,
    ring: Arc<RwLock<Keyring>>,
    /// The same for whoever verifies in this process.
    set: KeySet,
}

impl Keys {
    /// Reads them.
    ///
    /// # Errors
    /// When a key cannot be read, or two are the same.
    pub(crate) fn open(source: Source) -> anyhow::Result<Self> {
        let ring = source.read()?;
        let set = KeySet::fixed(&ring.jwks())?;
        Ok(Self { source: Arc::new(source), ring: Arc::new(RwLock::new(ring)), set })
    }

    /// What verifies tokens of these keys, now and after a change.
    pub(crate) fn set(&self) -> KeySet {
        self.set.clone()
    }

    /// The public halves.
    pub(crate) fn jwks(&self) -> Jwks {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).jwks()
    }

    /// Signs claims as a JWT of the given `typ`.
    ///
    /// # Errors
    /// When signing fails, which a valid key never does.
    pub(crate) fn sign<T: Serialize>(&self, claims: &T, kind: &str) -> anyhow::Result<String> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).sign(claims, kind)
    }

    /// Takes over what changes in the files, until the stop.
    pub(crate) async fn follow(self, stop: Stop) {
        while matches!(*self.source, Source::Files(_)) && stop.pause(EVERY).await {
            // In the middle of a rotation, or worse: what is known goes on.
            if let Err(error) = self.look().await {
                tracing::warn!(error = format!("{error:#}"), "keys not taken over");
            }
        }
    }

    /// Takes over what has changed.
    async fn look(&self) -> anyhow::Result<()> {
        let ring = self.source.read()?;
        if ring.jwks() != self.jwks() {
            self.set.replace(&ring.jwks()).await?;
            let kid = ring.kid().to_owned();
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
            tracing::info!(kid, "keys have changed; this one signs");
        }
        Ok(())
    }
}

impl Source {
    fn read(&self) -> anyhow::Result<Keyring> {
        match self {
            Self::Files(files) => Keyring::read(files),
            Self::Text(Secret(text)) => Keyring::from_pems(text).context("IDENTITY_KEYS"),
        }
    }
}

/// Moves the keys on: the one that signs retires, the next one signs, a new one is the next. Where a file is missing, it
/// is made and nothing else happens. Each file changes in one step, and at no moment does a key that may be needed
/// stand in none. Says what stands where.
///
/// # Errors
/// When there are not three files, the last rotation was less than [`REST`] ago, or a file cannot be written.
pub(crate) fn rotate(files: &[PathBuf], is_forced: bool) -> anyhow::Result<String> {
    let [active, next, retired] = files else {
        anyhow::bail!(
            "needs three files, the key that signs, the next and the retired one; {} given",
            files.len()
        )
    };
    let missing: Vec<&PathBuf> = files.iter().filter(|file| !file.exists()).collect();
    for file in &missing {
        SigningKey::generate(file)?;
    }
    if missing.is_empty() {
        let since = Clock::system().now()
            - [changed_at(next)?, changed_at(retired)?].into_iter().max().unwrap_or_default();
        let left = chrono::Duration::from_std(REST)? - since;
        let is_early = left > chrono::Duration::zero() && !is_forced;
        ensure!(
            !is_early,
            "the keys changed {} s ago: tokens of the retired key may live, and the next one may not be known everywhere; \
             try again in {} s",
            since.num_seconds(),
            left.num_seconds() + 1
        );
        put(active, retired)?;
        put(next, active)?;
        let new = next.with_extension("new");
        fs::remove_file(&new).ok();
        SigningKey::generate(&new)?;
        fs::rename(&new, next).with_context(|| format!("key file {}", next.display()))?;
    }
    let kid = |file: &PathBuf| SigningKey::read(file).map(|key| key.kid().to_owned());
    Ok(format!("signs   {}\nnext    {}\nretired {}", kid(active)?, kid(next)?, kid(retired)?))
}

fn changed_at(file: &Path) -> anyhow::Result<Time> {
    let changed = fs::metadata(file).and_then(|about| about.modified());
    Ok(changed.with_context(|| format!("key file {}", file.display()))?.into())
}

/// Puts a copy of `from` in the place of `to`, readable by the owner alone.
fn put(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copy = || -> std::io::Result<()> {
        let new = to.with_extension("new");
        // With the permissions of the original.
        fs::copy(from, &new)?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, to)
    };
    copy().with_context(|| format!("key file {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_read_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("astraphe-keys-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&folder).unwrap();
        let files = ["a.pem", "b.pem", "c.pem"].map(|name| folder.join(name));
        for file in &files {
            SigningKey::generate(file).unwrap();
        }
        let keys = Keys::open(Source::Files(files[..2].to_vec())).unwrap();
        let (before, whole) = (keys.jwks(), fs::read(&files[0]).unwrap());
        for broken in [&b"garbage"[..], b"", &whole[..whole.len() / 2], &fs::read(&files[1]).unwrap()] {
            fs::write(&files[0], broken).unwrap();
            assert!(keys.look().await.is_err());
            assert_eq!(keys.jwks(), before);
        }
        fs::remove_file(&files[0]).unwrap();
        assert!(keys.look().await.is_err());
        assert_eq!((keys.jwks(), keys.set().jwks().await), (before.clone(), before));
        fs::rename(&files[2], &files[0]).unwrap();
        keys.look().await.unwrap();
        let kid = SigningKey::read(&files[0]).unwrap().kid().to_owned();
        assert_eq!((&keys.jwks().keys[0].kid, &keys.set().jwks().await.keys[0].kid), (&kid, &kid));
        fs::remove_dir_all(&folder).ok();
    }
}
