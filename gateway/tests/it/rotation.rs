//! An issuer changes its key while everything runs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use common::auth::key::{Keyring, SigningKey};
use common::stop::Stop;
use common::wire::id::{ProductId, SessionId, Ticket, UserId};
use common::wire::token::{Jwks, PASS_TYPE, Role};
use testkit::client::Answer;
use testkit::issuers::Issuers;

use crate::gate::{Gate, serve};

/// Longer than the gateway waits between two fetches that unknown keys cause.
const COOLED: Duration = Duration::from_secs(20);

/// queue-server's keys: files, and what it publishes of them.
struct Issuer {
    folder: PathBuf,
    published: Arc<Mutex<Jwks>>,
    fetched: Arc<AtomicUsize>,
    stop: Stop,
}

impl Issuer {
    fn new() -> Self {
        let folder =
            std::env::temp_dir().join(format!("astraphe-rotation-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["a", "b", "c"] {
            SigningKey::generate(&folder.join(name)).unwrap();
        }
        let (published, fetched) = (Arc::default(), Arc::default());
        Self { folder, published, fetched, stop: Stop::new() }
    }

    async fn url(&self) -> String {
        let (published, fetched) = (Arc::clone(&self.published), Arc::clone(&self.fetched));
        let answer = async move || {
            fetched.fetch_add(1, Ordering::SeqCst);
            Json(published.lock().unwrap().clone())
        };
        format!("{}keys", serve(Router::new().route("/keys", get(answer)), &self.stop).await)
    }

    fn ring(&self, names: &[&str]) -> Keyring {
        Keyring::read(&names.iter().map(|name| self.folder.join(name)).collect::<Vec<_>>()).unwrap()
    }

    /// Starts again with these key files, of which the first signs.
    fn restart(&self, names: &[&str]) -> Keyring {
        let ring = self.ring(names);
        *self.published.lock().unwrap() = ring.jwks();
        ring
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.stop.stop();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// A new shopper, whose tokens the gateway has not seen, at the product page.
async fn enter(gate: &Gate, ring: &Keyring) -> Answer {
    let claims = Issuers::identity_claims(UserId(42), Role::Customer, SessionId::new(), &gate.clock);
    let pass = Issuers::pass_claims(&claims, ProductId(7), Ticket(3));
    let pass = ring.sign(&pass, PASS_TYPE).unwrap();
    gate.http.login(&gate.token(&claims)).pass(&pass).get("/api/products/7").await.unwrap()
}

#[tokio::test]
async fn tokens_of_the_old_and_the_new_key_pass_until_the_old_one_is_removed() {
    let issuer = Issuer::new();
    let old = issuer.restart(&["a"]);
    let url = issuer.url().await;
    let gate = Gate::with(|config| config.trust.pass_jwks_url = url).await.knowing().await;
    enter(&gate, &old).await.expect(200);

    issuer.restart(&["a", "b"]);
    enter(&gate, &old).await.expect(200);
    let new = issuer.restart(&["b", "a"]);
    // The gateway has not fetched since: it does now.
    for ring in [&new, &old, &new, &old] {
        enter(&gate, ring).await.expect(200);
    }

    issuer.restart(&["b"]);
    let (stranger, fetched) = (issuer.ring(&["c"]), issuer.fetched.load(Ordering::SeqCst));
    for _ in 0..100 {
        enter(&gate, &stranger).await.problem(403, "invalid-access-token");
    }
    let fetches = issuer.fetched.load(Ordering::SeqCst) - fetched;
    assert!(fetches <= 1, "unknown keys caused {fetches} fetches");
    testkit::eventually(COOLED, async || {
        enter(&gate, &stranger).await.problem(403, "invalid-access-token");
        enter(&gate, &new).await.expect(200);
        anyhow::ensure!(enter(&gate, &old).await.status == 403, "the removed key is still known");
        Ok(())
    })
    .await;
}
