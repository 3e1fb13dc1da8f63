//! Key files: Ed25519 in PKCS#8 PEM for issuers, hex for the key inside.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::wire::token::{Jwk, Jwks};

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// An issuer's signing key.
#[derive(Clone)]
pub struct SigningKey {
    encoding: EncodingKey,
    public: Jwk,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.public.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a PKCS#8 PEM file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no Ed25519 key.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read_to_string(path).with_context(|| format!("key file {}", path.display()))?;
        Self::from_pem(&pem).with_context(|| format!("key file {}", path.display()))
    }

    /// Reads a PKCS#8 PEM text.
    ///
    /// # Errors
    /// When it holds no Ed25519 key.
    pub fn from_pem(pem: &str) -> anyhow::Result<Self> {
        let body = pem.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END));
        let body: String = body.context("not a PKCS#8 PEM text")?.split_whitespace().collect();
        let der = STANDARD.decode(body).context("PEM body")?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).context("not an Ed25519 key")?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Ok(Self { encoding: EncodingKey::from_ed_der(&der), public: jwk(x) })
    }

    /// Writes a new key to a file that only its owner can read, and returns its `kid`. Never overwrites.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn generate(path: &Path) -> anyhow::Result<String> {
        let pair = Ed25519KeyPair::generate().context("no random numbers")?;
        let der = pair.to_pkcs8().context("encoding the key")?;
        let pem = format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(der.as_ref()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("key file {}", path.display()))?;
        file.write_all(pem.as_bytes())?;
        Ok(Self::from_pem(&pem)?.public.kid)
    }

    /// Signs claims as a JWT of the given `typ`.
    ///
    /// # Errors
    /// When signing fails, which a valid key never does.
    pub fn sign<T: Serialize>(&self, claims: &T, kind: &str) -> anyhow::Result<String> {
        super::sign(claims, kind, Some(&self.public.kid), &self.encoding, Algorithm::EdDSA)
    }

    /// The public half, as the issuer publishes it.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        Jwks { keys: vec![self.public.clone()] }
    }

    /// The key's name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.public.kid
    }
}

/// The keys of an issuer: one signs, all are published, so that tokens of the next and of retired keys verify too.
#[derive(Debug, Clone)]
pub struct Keyring {
    active: SigningKey,
    published: Jwks,
}

impl Keyring {
    /// Reads PKCS#8 PEM files. The first holds the key that signs.
    ///
    /// # Errors
    /// When there is none, or one cannot be read or holds no Ed25519 key, or two hold the same.
    pub fn read(files: &[PathBuf]) -> anyhow::Result<Self> {
        let keys = files.iter().map(|file| SigningKey::read(file)).collect::<anyhow::Result<Vec<_>>>()?;
        Self::of(keys).with_context(|| format!("key files {files:?}"))
    }

    /// Reads PKCS#8 PEM texts that follow each other. The first holds the key that signs.
    ///
    /// # Errors
    /// As [`Keyring::read`].
    pub fn from_pems(text: &str) -> anyhow::Result<Self> {
        let texts = text.split_inclusive(PEM_END).filter(|text| !text.trim().is_empty());
        let keys = texts.map(SigningKey::from_pem).collect::<anyhow::Result<Vec<_>>>()?;
        Self::of(keys)
    }

    fn of(keys: Vec<SigningKey>) -> anyhow::Result<Self> {
        let active = keys.first().context("no key")?.clone();
        let mut published = Jwks::default();
        for key in keys {
            let is_known = published.keys.contains(&key.public);
            ensure!(!is_known, "the key {} stands there twice", key.public.kid);
            published.keys.push(key.public);
        }
        Ok(Self { active, published })
    }

    /// The name of the key that signs.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.active.kid()
    }

    /// Signs claims as a JWT of the given `typ`.
    ///
    /// # Errors
    /// When signing fails, which a valid key never does.
    pub fn sign<T: Serialize>(&self, claims: &T, kind: &str) -> anyhow::Result<String> {
        self.active.sign(claims, kind)
    }

    /// The public halves of all, as the issuer publishes them.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        self.published.clone()
    }
}

/// RFC 7638: the thumbprint hashes exactly the required members, in this order, without blanks.
fn jwk(x: String) -> Jwk {
    let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)));
    Jwk { kty: "OKP".into(), crv: "Ed25519".into(), x, kid, alg: "EdDSA".into(), usage: "sig".into() }
}

/// The key of the assertion inside, shared by the gateway and the services.
pub struct InternalKey {
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
}

impl fmt::Debug for InternalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InternalKey(***)")
    }
}

impl InternalKey {
    /// Reads a file of 64 or more hex digits.
    ///
    /// # Errors
    /// When the file cannot be read or holds less than 32 bytes.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("key file {}", path.display()))?;
        let bytes = hex::decode(text.trim()).with_context(|| format!("key file {}", path.display()))?;
        Self::from_bytes(&bytes)
    }

    /// A key from its bytes, at least 32.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        ensure!(bytes.len() >= 32, "the internal key has {} bytes; at least 32 are needed", bytes.len());
        Ok(Self { encoding: EncodingKey::from_secret(bytes), decoding: DecodingKey::from_secret(bytes) })
    }
}
