//! Keys of one run, and tokens signed with them.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::auth::key::SigningKey;
use common::auth::sign;
use common::clock::Clock;
use common::wire::id::{SessionId, UserId};
use common::wire::token::{AUDIENCE, IDENTITY_ISSUER, IDENTITY_TYPE, Identity, Role};
use jsonwebtoken::{Algorithm, EncodingKey};
use uuid::Uuid;

use super::peers::Token;

/// How long the tokens count.
const LIFE_S: i64 = 3_600;

/// The keys, in a folder that goes with them.
pub(super) struct Keys {
    pub(super) folder: PathBuf,
    /// An empty one in it, for pages.
    pub(super) web: PathBuf,
    /// The key that gateway and services share.
    pub(super) internal: PathBuf,
    pub(super) identity: SigningKey,
    es256: EncodingKey,
    pub(super) es256_public: PathBuf,
    /// Of HS256.
    pub(super) secret: String,
}

impl Drop for Keys {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Keys {
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("bench-gateway-{}", Uuid::new_v4().simple()));
        let web = folder.join("web");
        fs::create_dir_all(&web).with_context(|| web.display().to_string())?;
        let [internal, pem, es256_public] =
            ["internal.hex", "identity.pem", "es256.pem"].map(|name| folder.join(name));
        fs::write(&internal, secret())?;
        SigningKey::generate(&pem)?;
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .ok()
            .context("no P-256 key")?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.as_ref())
            .ok()
            .context("no P-256 key")?;
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().ok().context("no public key")?;
        let text = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(public.as_ref())
        );
        fs::write(&es256_public, text)?;
        let identity = SigningKey::read(&pem)?;
        let es256 = EncodingKey::from_ec_der(pair.as_ref());
        Ok(Self { folder, web, internal, identity, es256, es256_public, secret: secret() })
    }

    /// Tokens of so many accounts, numbered from 1.
    pub(super) fn tokens(&self, token: Token, count: i64) -> anyhow::Result<Vec<String>> {
        let now = Clock::system().now_s();
        (1..=count)
            .map(|number| {
                let claims = Identity {
                    iss: IDENTITY_ISSUER.into(),
                    aud: AUDIENCE.into(),
                    sub: UserId(number),
                    role: Role::Customer,
                    sid: SessionId::new(),
                    iat: now,
                    nbf: now,
                    exp: now + LIFE_S,
                };
                match token {
                    Token::EdDsa | Token::Unchecked => self.identity.sign(&claims, IDENTITY_TYPE),
                    Token::Es256 => sign(&claims, IDENTITY_TYPE, None, &self.es256, Algorithm::ES256),
                    Token::Hs256 => {
                        let key = EncodingKey::from_secret(self.secret.as_bytes());
                        sign(&claims, IDENTITY_TYPE, None, &key, Algorithm::HS256)
                    }
                }
            })
            .collect()
    }
}

fn secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}
