//! An issuer's public keys: fetched once, kept for good, refreshed when an unknown key shows up.
//!
//! An unknown `kid` can be sent by anybody, before any signature was checked. So what is no key's name is not asked for, a
//! name asked for in vain is not asked for again for a while, a fetch happens at most once per [`COOLDOWN`], however many
//! unknown names arrive, and keys once known stay when the issuer cannot be reached.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jsonwebtoken::DecodingKey;
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use super::Refused;
use crate::stop::Stop;
use crate::wire::token::Jwks;

/// Between two fetches that unknown keys cause.
pub const COOLDOWN: Duration = Duration::from_secs(10);
/// Between two regular fetches.
const REFRESH: Duration = Duration::from_secs(300);
/// A name that the issuer did not know causes no fetch for so long,
const UNKNOWN: Duration = Duration::from_secs(60);
/// as long as there are no more of them than this.
const UNKNOWN_MAX: usize = 1_000;
/// Characters of an RFC 7638 thumbprint (SHA-256, base64url), which is how keys are named here.
const KID_LENGTH: usize = 43;
/// Between two tries while no key is known.
const RETRY: Duration = Duration::from_millis(250);

/// What an issuer published, and the same ready for use.
#[derive(Debug, Default)]
struct Keys {
    published: Jwks,
    by_kid: HashMap<String, DecodingKey>,
}

/// The public keys of one issuer. Clones share them.
#[derive(Debug, Clone)]
pub struct KeySet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Option<Source>,
    keys: RwLock<Arc<Keys>>,
    removals: AtomicU64,
}

#[derive(Debug)]
struct Source {
    url: String,
    http: reqwest::Client,
    asked: Mutex<Asked>,
}

/// What unknown names have caused.
#[derive(Debug, Default)]
struct Asked {
    fetched: Option<Instant>,
    /// Names that the issuer did not know, and when.
    in_vain: HashMap<String, Instant>,
}

impl Asked {
    /// Whether that name may cause a fetch.
    fn may_fetch(&self, kid: &str) -> bool {
        let is_cool = self.fetched.is_none_or(|at| at.elapsed() >= COOLDOWN);
        is_cool && self.in_vain.get(kid).is_none_or(|at| at.elapsed() >= UNKNOWN)
    }

    fn note_in_vain(&mut self, kid: &str) {
        if self.in_vain.len() >= UNKNOWN_MAX {
            self.in_vain.retain(|_, at| at.elapsed() < UNKNOWN);
        }
        if self.in_vain.len() < UNKNOWN_MAX {
            self.in_vain.insert(kid.to_owned(), Instant::now());
        }
    }
}

impl KeySet {
    /// Keys fetched from an address; the first fetch happens in the background, again and again until it works.
    ///
    /// # Errors
    /// When the address is not a URL.
    pub fn fetched(url: &str, stop: &Stop) -> anyhow::Result<Self> {
        let url = reqwest::Url::parse(url).with_context(|| format!("JWKS address {url}"))?.to_string();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(3)).no_proxy().build()?;
        let source = Source { url, http, asked: Mutex::default() };
        let set = Self(Arc::new(Inner {
            source: Some(source),
            keys: RwLock::default(),
            removals: AtomicU64::new(0),
        }));
        stop.spawn("jwks", set.clone().refresh(stop.clone()));
        Ok(set)
    }

    /// Keys that are known from the start: an issuer's own, or a test's.
    ///
    /// # Errors
    /// When a key is not an Ed25519 key.
    pub fn fixed(jwks: &Jwks) -> anyhow::Result<Self> {
        let keys = RwLock::new(Arc::new(decode(jwks)?));
        Ok(Self(Arc::new(Inner { source: None, keys, removals: AtomicU64::new(0) })))
    }

    /// Other keys from now on: those of an issuer that has changed its own.
    ///
    /// # Errors
    /// When a key is not an Ed25519 key.
    pub async fn replace(&self, jwks: &Jwks) -> anyhow::Result<()> {
        *self.0.keys.write().await = Arc::new(decode(jwks)?);
        Ok(())
    }

    /// Whether any key is known.
    pub async fn is_known(&self) -> bool {
        !self.0.keys.read().await.by_kid.is_empty()
    }

    /// How often the issuer has taken keys away.
    pub(super) fn removals(&self) -> u64 {
        self.0.removals.load(Ordering::SeqCst)
    }

    /// The keys as the issuer published them; none before the first fetch.
    pub async fn jwks(&self) -> Jwks {
        self.0.keys.read().await.published.clone()
    }

    /// The key of that name, fetching when it is new.
    pub(super) async fn key(&self, kid: &str) -> Result<DecodingKey, Refused> {
        if let Some(key) = self.0.keys.read().await.by_kid.get(kid) {
            return Ok(key.clone());
        }
        if let Some(source) = self.0.source.as_ref().filter(|_| is_name(kid)) {
            // The first waiter fetches; the rest find its result, or the cooldown.
            let mut asked = source.asked.lock().await;
            if asked.may_fetch(kid) && !self.0.keys.read().await.by_kid.contains_key(kid) {
                asked.fetched = Some(Instant::now());
                if self.fetch(source).await && !self.0.keys.read().await.by_kid.contains_key(kid) {
                    asked.note_in_vain(kid);
                }
            }
        }
        let keys = self.0.keys.read().await;
        match keys.by_kid.get(kid) {
            Some(key) => Ok(key.clone()),
            None if keys.by_kid.is_empty() => Err(Refused::NoKeys),
            None => Err(Refused::Invalid),
        }
    }

    async fn refresh(self, stop: Stop) {
        let Some(source) = &self.0.source else { return };
        loop {
            self.fetch(source).await;
            let pause = if self.is_known().await { REFRESH } else { RETRY };
            if !stop.pause(pause).await {
                return;
            }
        }
    }

    /// True when the issuer answered.
    async fn fetch(&self, source: &Source) -> bool {
        match get(source).await {
            Ok(keys) => {
                let mut known = self.0.keys.write().await;
                if known.by_kid.keys().any(|kid| !keys.by_kid.contains_key(kid)) {
                    self.0.removals.fetch_add(1, Ordering::SeqCst);
                }
                *known = Arc::new(keys);
                true
            }
            Err(error) => {
                tracing::debug!(url = source.url, error = format!("{error:#}"), "keys not fetched");
                false
            }
        }
    }
}

/// Whether a key could be named so.
fn is_name(kid: &str) -> bool {
    kid.len() == KID_LENGTH && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

async fn get(source: &Source) -> anyhow::Result<Keys> {
    let answer = source.http.get(&source.url).send().await?.error_for_status()?;
    let keys = decode(&answer.json::<Jwks>().await?)?;
    ensure!(!keys.by_kid.is_empty(), "the issuer published no key");
    Ok(keys)
}

fn decode(jwks: &Jwks) -> anyhow::Result<Keys> {
    let mut keys = Keys::default();
    for key in jwks.keys.iter().filter(|key| key.kty == "OKP" && key.crv == "Ed25519") {
        keys.by_kid.insert(key.kid.clone(), DecodingKey::from_ed_components(&key.x)?);
        keys.published.keys.push(key.clone());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use axum::extract::State;
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;

    /// What an issuer answers, and how often it was asked.
    #[derive(Debug, Clone)]
    struct Issuer(Arc<Mutex<(StatusCode, String)>>, Arc<AtomicUsize>);

    impl Issuer {
        async fn start(jwks: &Value, stop: &Stop) -> (Self, Source) {
            let issuer = Self(Arc::new(Mutex::new((StatusCode::OK, jwks.to_string()))), Arc::default());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let answer = async |State(Self(answer, asked)): State<Self>| {
                asked.fetch_add(1, Ordering::SeqCst);
                answer.lock().await.clone()
            };
            let router = axum::Router::new().route("/", get(answer)).with_state(issuer.clone());
            stop.spawn("issuer", crate::http::serve(listener, router, stop.clone()));
            (issuer, Source { url, http: reqwest::Client::new(), asked: Mutex::default() })
        }

        async fn answers(&self, status: StatusCode, body: &str) {
            *self.0.lock().await = (status, body.to_owned());
        }

        fn asked(&self) -> usize {
            self.1.load(Ordering::SeqCst)
        }
    }

    fn published(kid: &str) -> Value {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x, "alg": "EdDSA", "use": "sig"}]})
    }

    fn set(source: Source) -> KeySet {
        let (keys, removals) = (RwLock::default(), AtomicU64::new(0));
        KeySet(Arc::new(Inner { source: Some(source), keys, removals }))
    }

    /// A name as keys have it.
    fn name(letter: char) -> String {
        letter.to_string().repeat(KID_LENGTH)
    }

    #[tokio::test]
    async fn an_issuer_in_trouble_takes_no_keys_away() {
        let stop = Stop::new();
        let (issuer, source) = Issuer::start(&published(&name('a')), &stop).await;
        let set = set(source);
        let source = set.0.source.as_ref().unwrap();
        assert!(set.fetch(source).await);
        let good = published(&name('b')).to_string();
        for (status, body) in [
            (StatusCode::INTERNAL_SERVER_ERROR, good.as_str()),
            (StatusCode::OK, ""),
            (StatusCode::OK, "<html>"),
            (StatusCode::OK, r#"{"keys": []}"#),
            (StatusCode::OK, &good[..good.len() - 2]),
            (StatusCode::OK, &good.replace("Ed25519", "P-256")),
        ] {
            issuer.answers(status, body).await;
            assert!(!set.fetch(source).await, "{status} {body}");
            assert!(set.key(&name('a')).await.is_ok(), "{status} {body}");
            assert_eq!(set.removals(), 0);
        }
        issuer.answers(StatusCode::OK, &good).await;
        assert!(set.fetch(source).await);
        assert_eq!(set.removals(), 1);
        assert!(set.key(&name('b')).await.is_ok() && set.key(&name('a')).await.is_err());
        stop.stop();
    }

    #[tokio::test]
    async fn many_who_need_a_new_key_cause_one_fetch_and_what_is_no_name_none() {
        let stop = Stop::new();
        let (issuer, source) = Issuer::start(&published(&name('a')), &stop).await;
        let set = set(source);
        for kid in ["", "a", "../a", &"a/".repeat(22)[..KID_LENGTH]] {
            assert!(set.key(kid).await.is_err(), "{kid}");
        }
        assert_eq!(issuer.asked(), 0);
        let kid = name('a');
        let all = futures::future::join_all((0..100).map(|_| set.key(&kid))).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(issuer.asked(), 1);
        // Others follow at once, and wait.
        for letter in 'b'..='z' {
            assert!(set.key(&name(letter)).await.is_err());
        }
        assert_eq!(issuer.asked(), 1);
        stop.stop();
    }

    #[tokio::test]
    async fn a_name_asked_for_in_vain_is_not_asked_for_again() {
        let stop = Stop::new();
        let (issuer, source) = Issuer::start(&published(&name('a')), &stop).await;
        let set = set(source);
        let source = set.0.source.as_ref().unwrap();
        let cooled = async || source.asked.lock().await.fetched = None;
        for (letter, asked) in [('b', 1), ('b', 1), ('c', 2), ('c', 2), ('b', 2)] {
            assert!(set.key(&name(letter)).await.is_err());
            assert_eq!(issuer.asked(), asked, "{letter}");
            cooled().await;
        }
        // Where the issuer did not answer, nothing is known of the name.
        issuer.answers(StatusCode::SERVICE_UNAVAILABLE, "").await;
        for asked in [3, 4] {
            assert!(set.key(&name('d')).await.is_err());
            assert_eq!(issuer.asked(), asked);
            cooled().await;
        }
        stop.stop();
    }
}
