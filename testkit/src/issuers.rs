//! Issuers of a test's own: key files, tokens for whoever the test needs, and a JWKS address for the services.

use std::path::PathBuf;

use axum::routing::get;
use axum::{Json, Router};
use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::{InternalKey, SigningKey};
use common::clock::Clock;
use common::config::Trust;
use common::stop::Stop;
use common::wire::id::{ProductId, SessionId, Ticket, UserId};
use common::wire::token::{
    AUDIENCE, IDENTITY_ISSUER, IDENTITY_TYPE, Identity, PASS_ISSUER, PASS_TYPE, Pass, Role,
};
use tokio::net::TcpListener;
use uuid::Uuid;

/// Keys and tokens of one test. The files go when it is dropped.
#[derive(Debug)]
pub struct Issuers {
    /// PKCS#8 PEM of the identity issuer.
    pub identity_key_file: PathBuf,
    /// PKCS#8 PEM of the pass issuer.
    pub pass_key_file: PathBuf,
    /// Hex key of the assertion inside.
    pub internal_key_file: PathBuf,
    /// The identity issuer's key.
    pub identity: SigningKey,
    /// The pass issuer's key.
    pub pass: SigningKey,
    folder: PathBuf,
    stop: Stop,
}

impl Issuers {
    /// New keys in a new folder.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("astraphe-keys-{}", Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).expect("the temp folder can be written");
        let [identity_key_file, pass_key_file, internal_key_file] =
            ["identity.pem", "pass.pem", "internal.hex"].map(|name| folder.join(name));
        for file in [&identity_key_file, &pass_key_file] {
            SigningKey::generate(file).expect("the temp folder can be written");
        }
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        std::fs::write(&internal_key_file, secret).expect("the temp folder can be written");
        let read = |file| SigningKey::read(file).expect("a key just written can be read");
        Self {
            identity: read(&identity_key_file),
            pass: read(&pass_key_file),
            identity_key_file,
            pass_key_file,
            internal_key_file,
            folder,
            stop: Stop::new(),
        }
    }

    /// Claims of an identity that lives 15 minutes from the clock's now.
    #[must_use]
    pub fn identity_claims(user: UserId, role: Role, sid: SessionId, clock: &Clock) -> Identity {
        let now = clock.now_s();
        let (iss, aud) = (IDENTITY_ISSUER.to_owned(), AUDIENCE.to_owned());
        Identity { iss, aud, sub: user, role, sid, iat: now, nbf: now, exp: now + 900 }
    }

    /// Claims of a pass that lives 595 seconds from the clock's now.
    #[must_use]
    pub fn pass_claims(identity: &Identity, product: ProductId, ticket: Ticket) -> Pass {
        Pass {
            iss: PASS_ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: identity.sub,
            pid: product,
            tkt: ticket,
            sid: identity.sid,
            epoch: 0,
            jti: Uuid::new_v4(),
            iat: identity.iat,
            nbf: identity.nbf,
            exp: identity.iat + 595,
        }
    }

    /// A signed identity token.
    ///
    /// # Panics
    /// Never with a valid key.
    #[must_use]
    pub fn identity_token(&self, user: UserId, role: Role, sid: SessionId, clock: &Clock) -> String {
        let claims = Self::identity_claims(user, role, sid, clock);
        self.identity.sign(&claims, IDENTITY_TYPE).expect("a valid key signs")
    }

    /// A signed access token.
    ///
    /// # Panics
    /// Never with a valid key.
    #[must_use]
    pub fn pass_token(&self, identity: &Identity, product: ProductId, ticket: Ticket) -> String {
        self.pass.sign(&Self::pass_claims(identity, product, ticket), PASS_TYPE).expect("a valid key signs")
    }

    /// A verifier that knows the keys without asking.
    ///
    /// # Panics
    /// Never with valid keys.
    #[must_use]
    pub fn verifier(&self, clock: &Clock) -> Verifier {
        Verifier::new(
            KeySet::fixed(&self.identity.jwks()).expect("a valid key"),
            KeySet::fixed(&self.pass.jwks()).expect("a valid key"),
            InternalKey::read(&self.internal_key_file).expect("a key just written can be read"),
            clock.clone(),
        )
    }

    /// Serves both issuers' keys and returns a service's settings that name them.
    ///
    /// # Panics
    /// When no port can be bound.
    pub async fn trust(&self) -> Trust {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("a bound port has an address"));
        let (identity, pass) = (self.identity.jwks(), self.pass.jwks());
        let router = Router::new()
            .route("/identity", get(|| async move { Json(identity) }))
            .route("/pass", get(|| async move { Json(pass) }));
        self.stop.spawn("jwks server", common::http::serve(listener, router, self.stop.clone()));
        Trust {
            internal_key_file: self.internal_key_file.clone(),
            identity_jwks_url: format!("{base}/identity"),
            pass_jwks_url: format!("{base}/pass"),
        }
    }
}

impl Default for Issuers {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Issuers {
    fn drop(&mut self) {
        self.stop.stop();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
