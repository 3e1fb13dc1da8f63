//! One test's waiting rooms: instances of the service, their store, a product service to ask, and shoppers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use chrono::TimeDelta;
use common::auth::Verifier;
use common::clock::Clock;
use common::config::{Kafka, Redis, Secret, Telemetry};
use common::redis::Connections;
use common::stop::Stop;
use common::wire::Time;
use common::wire::id::{CompanyId, OrderId, ProductId, SessionId, Ticket, UserId};
use common::wire::money::Won;
use common::wire::product::{ProductSnapshot, QueuePolicy};
use common::wire::queue::{Step, StepKind};
use common::wire::token::{IDENTITY_TYPE, Identity, Role};
use queue_server::room::rules::Effect;
use queue_server::room::store::{OrderNews, Store};
use queue_server::{Config, Limits};
use serde_json::json;
use testkit::client::{Answer, Http};
use testkit::issuers::Issuers;
use tokio::net::TcpListener;

/// The product of most tests.
pub(crate) const PRODUCT: ProductId = ProductId(7);
/// Who sells it.
pub(crate) const SELLER: i64 = 500;
/// Its room.
pub(crate) const ROOM: &str = "/api/queue/7";

/// As long as anything here may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The product service, as far as rooms ask it.
#[derive(Clone, Default)]
pub(crate) struct Products {
    pub(crate) known: Arc<Mutex<HashMap<i64, ProductSnapshot>>>,
    pub(crate) asked: Arc<AtomicUsize>,
}

pub(crate) struct Shop {
    pub(crate) store: Store,
    pub(crate) redis: Connections,
    pub(crate) config: Config,
    pub(crate) products: Products,
    issuers: Issuers,
    base: String,
    stop: Stop,
}

impl Shop {
    /// Rooms that hear nothing: products, stock and orders come from the test's hand. They need no broker to serve.
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// Rooms that hear what is published.
    pub(crate) async fn listening() -> Self {
        Self::with(|config| config.kafka.kafka_bootstrap.clone_from(&testkit::servers().kafka)).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(testkit::redis_url(), change).await
    }

    /// Rooms in this Redis.
    pub(crate) async fn on(redis_url: String, change: impl FnOnce(&mut Config)) -> Self {
        let (issuers, stop, products) = (Issuers::new(), Stop::new(), Products::default());
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            telemetry: Telemetry { log: "warn".into(), log_format: "text".into() },
            redis: Redis { redis_url: Secret(redis_url), redis_connections: 2 },
            kafka: Kafka {
                // Nobody listens there.
                kafka_bootstrap: "127.0.0.1:1".into(),
                kafka_topic_prefix: testkit::topic_prefix(),
                kafka_replication: 1,
                instance: "queue-server-1".into(),
            },
            trust: issuers.trust().await,
            pass_key_files: vec![issuers.pass_key_file.clone()],
            product_url: serve_products(&products, &stop).await,
            load_urls: Vec::new(),
            tick_ms: 50,
            limits: limits(),
            clock: Clock::system(),
        };
        // The rooms' own view of the store is not what the wire may cut.
        let redis = Connections::open(&config.redis).unwrap();
        change(&mut config);
        let base = serve(&config, &stop).await;
        Self { store: Store::new(redis.clone()), redis, config, products, issuers, base, stop }
    }

    /// One more instance on the same servers.
    pub(crate) async fn another(&self, instance: &str) -> Http {
        self.another_with(instance, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn another_with(&self, instance: &str, change: impl FnOnce(&mut Config)) -> Http {
        let mut config = self.config.clone();
        config.kafka.instance = instance.into();
        change(&mut config);
        Http::new(serve(&config, &self.stop).await)
    }

    /// A room with units to sell.
    pub(crate) async fn sell(&self, snapshot: &ProductSnapshot, units: i64) {
        self.store.product(snapshot).await.unwrap();
        self.decide(1, [units, units, 0, 0]).await;
    }

    /// Total, available, reserved, sold.
    pub(crate) async fn decide(&self, last: i64, units: [i64; 4]) {
        self.store.decision(PRODUCT, last, units).await.unwrap();
    }

    /// What became of (order, seq) of (user, ticket).
    pub(crate) async fn order(&self, news: (OrderId, i64), who: (i64, i64), units: u32, effect: Effect) {
        let ((order, seq), user, ticket) = (news, UserId(who.0), Ticket(who.1));
        self.store.orders(PRODUCT, &[OrderNews { order, seq, user, ticket, units, effect }]).await.unwrap();
    }

    /// Where the first instance listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.base.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// Nobody in particular.
    pub(crate) fn anybody(&self) -> Http {
        Http::new(&self.base)
    }

    pub(crate) fn token(&self, user: i64, role: Role) -> String {
        let claims = Issuers::identity_claims(UserId(user), role, SessionId::new(), &self.config.clock);
        self.token_of(&claims)
    }

    pub(crate) fn token_of(&self, claims: &Identity) -> String {
        self.issuers.identity.sign(claims, IDENTITY_TYPE).unwrap()
    }

    pub(crate) fn verifier(&self) -> Verifier {
        self.issuers.verifier(&self.config.clock)
    }

    /// A new login of a user.
    pub(crate) fn login(&self, user: i64, role: Role) -> Http {
        self.anybody().login(&self.token(user, role))
    }

    pub(crate) fn shopper(&self, user: i64) -> Http {
        self.login(user, Role::Customer)
    }

    pub(crate) fn manager(&self) -> Http {
        self.login(900, Role::Manager)
    }

    pub(crate) fn seller(&self) -> Http {
        self.login(SELLER, Role::Seller)
    }

    /// Registers, and says where that leads.
    pub(crate) async fn join(&self, user: i64) -> Answer {
        self.shopper(user).post(ROOM, &json!({})).await.unwrap().expect(200)
    }

    pub(crate) async fn place(&self, user: i64) -> Answer {
        self.shopper(user).get(ROOM).await.unwrap().expect(200)
    }

    /// Waits until a shopper stands in this state.
    pub(crate) async fn until(&self, user: i64, state: &str) -> Answer {
        testkit::eventually(SOON, async || {
            let place = self.shopper(user).get(ROOM).await?;
            anyhow::ensure!(place.body["state"] == state, "{user} has {}", place.body);
            Ok(place)
        })
        .await
    }

    /// The room's log.
    pub(crate) async fn log(&self) -> Vec<Step> {
        let key = format!("room:{{{PRODUCT}}}:log");
        let entries = self.redis.entries(&key, "-", 1_000_000).await.unwrap();
        entries.iter().flat_map(|(_, fields)| Step::of_entry(fields).unwrap()).collect()
    }

    pub(crate) async fn steps(&self, kind: StepKind) -> Vec<Step> {
        self.log().await.into_iter().filter(|step| step.step == kind).collect()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

/// None for the tests' own requests, which all come from this machine.
fn limits() -> Limits {
    let some = std::num::NonZeroU32::new(10).unwrap();
    Limits {
        joins_per_minute: some,
        polls_per_minute: some,
        burst: some,
        address_joins_per_minute: 30,
        address_polls_per_minute: 30,
        loopback_exempt: true,
    }
}

async fn serve(config: &Config, stop: &Stop) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (config, served) = (config.clone(), stop.clone());
    stop.spawn("queue-server", async move { queue_server::serve(listener, config, served).await.unwrap() });
    base
}

async fn serve_products(products: &Products, stop: &Stop) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let snapshot = async |State(products): State<Products>, Path(id): Path<i64>| {
        products.asked.fetch_add(1, Ordering::SeqCst);
        let known = products.known.lock().unwrap().get(&id).cloned();
        known.map(Json).ok_or(StatusCode::NOT_FOUND)
    };
    let routes = Router::new().route("/internal/products/{id}/snapshot", get(snapshot));
    let router = routes.with_state(products.clone());
    stop.spawn("products", common::http::serve(listener, router, stop.clone()));
    base
}

pub(crate) fn seconds(s: i64) -> TimeDelta {
    TimeDelta::seconds(s)
}

/// Now, by the machine that both the services and Redis run on.
pub(crate) fn now() -> Time {
    Clock::system().now()
}

/// A sale that opened half an hour ago and lets in 100 per hour: no boundary comes near a test.
pub(crate) fn sale() -> ProductSnapshot {
    ProductSnapshot {
        product_id: PRODUCT,
        version: 1,
        price_version: 1,
        company_id: CompanyId(1),
        seller_id: UserId(SELLER),
        product_name: "Kettle".into(),
        original_price: Won(20_000),
        discounted_price: Won(10_000),
        product_options: Vec::new(),
        sale_start_time: now() - seconds(1_800),
        sale_end_time: now() + seconds(86_400),
        purchase_limit: 1,
        queue: QueuePolicy { count: 100, interval_s: 3_600, admission_delay_s: 0, ..QueuePolicy::default() },
        deleted: false,
        state: None,
        state_version: 0,
        changed_by: UserId(SELLER),
    }
}

/// The same sale that lets in this many.
pub(crate) fn sale_of(count: u32) -> ProductSnapshot {
    let mut sale = sale();
    sale.queue.count = count;
    sale
}

/// The same sale, not open yet.
pub(crate) fn sale_to_come() -> ProductSnapshot {
    ProductSnapshot { sale_start_time: now() + seconds(3_600), ..sale() }
}
