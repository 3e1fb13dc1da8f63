//! The order service over HTTP, on real PostgreSQL and Kafka. The stock's decisions come from the test's hand, and
//! the payment provider is one that can be told what to say.

#![expect(clippy::unwrap_used, reason = "a test panics when something fails")]

mod bank;
mod cancel;
mod decide;
mod late;
mod letters;
mod live;
mod outage;
mod pay;
mod place;
mod provider;
mod refund;
mod revoked;
mod shop;
mod sold_out;
mod webhook;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::clock::Clock;
use common::config::{Kafka, Pg, Redis, Secret, Telemetry};
use common::kafka::consumer::{Received, Source, consume};
use common::kafka::producer::{Outgoing, Producer};
use common::stop::Stop;
use common::wire::event::{
    Decision, Event, OrderChanged, Outcome, Refusal, Settle, StockCommand, StockDecided,
};
use common::wire::id::{OrderId, ProductId, SessionId, Ticket, UserId};
use common::wire::order::{OrderState, OrderView};
use common::wire::token::{IDENTITY_TYPE, Identity, Role};
use order::Config;
use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::client::Http;
use testkit::issuers::Issuers;
use tokio::net::TcpListener;

use provider::Provider;
use shop::Shop;

/// Patience for everything that happens beside a request.
const SOON: Duration = Duration::from_secs(20);
/// How long reserved units wait for the payment, in seconds.
const HOLD_S: u32 = 300;

/// One running service with a database, topics, keys, neighbours and a clock of its own.
struct TestOrder {
    http: Http,
    pg: PgPool,
    issuers: Issuers,
    clock: Clock,
    kafka: Kafka,
    redis: Redis,
    producer: Producer,
    provider: Provider,
    shop: Shop,
    commands: Heard<StockCommand>,
    events: Heard<OrderChanged>,
    stop: Stop,
}

/// What was heard on a topic so far.
type Heard<T> = Arc<Mutex<Vec<T>>>;

impl TestOrder {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let (issuers, clock, stop) = (Issuers::new(), testkit::clock(), Stop::new());
        let (provider, shop) = (Provider::start(&stop).await, Shop::start(&stop).await);
        let database_url = testkit::database("order");
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            hold_s: HOLD_S,
            restock: true,
            product_url: shop.url.clone(),
            payment_url: provider.url.clone(),
            payment_secret_key: Secret(provider::SECRET_KEY.into()),
            payment_client_key: "test_ck_order".into(),
            public_url: "http://shop.test".into(),
            telemetry: Telemetry { log: "info".into(), log_format: "text".into() },
            pg: Pg { database_url: Secret(database_url.clone()), database_pool_max: 8 },
            kafka: kafka(),
            trust: issuers.trust().await,
            redis: Redis { redis_url: Secret(testkit::redis_url()), redis_connections: 1 },
            clock: clock.clone(),
        };
        change(&mut config);
        let (kafka, redis) = (config.kafka.clone(), config.redis.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = Http::new(format!("http://{}", listener.local_addr().unwrap()));
        let service = order::serve(listener, config, stop.clone());
        #[expect(clippy::disallowed_methods, reason = "the service itself ends with its stop")]
        tokio::spawn(async move { service.await.unwrap() });
        testkit::eventually(SOON, async || {
            let answer = http.get("/readyz").await?;
            anyhow::ensure!(answer.status == 200, "{}", answer.body);
            Ok(())
        })
        .await;
        let producer = Producer::new(&kafka).unwrap();
        let commands = hear(&kafka, "test-commands", &producer, &stop);
        let events = hear(&kafka, "test-events", &producer, &stop);
        let pg = PgPool::connect(&database_url).await.unwrap();
        let test =
            Self { http, pg, issuers, clock, kafka, redis, producer, provider, shop, commands, events, stop };
        // Tokens are read as soon as the issuers' keys are here.
        let admitted = test.shopper(1).with_pass(1, 1).http;
        testkit::eventually(SOON, async || {
            anyhow::ensure!(admitted.get("/api/orders").await?.status == 200, "keys unknown");
            Ok(())
        })
        .await;
        test
    }

    /// A shopper with a login of their own.
    fn shopper(&self, user: i64) -> Shopper<'_> {
        self.caller(user, Role::Customer)
    }

    fn caller(&self, user: i64, role: Role) -> Shopper<'_> {
        let identity = Issuers::identity_claims(UserId(user), role, SessionId::new(), &self.clock);
        let token = self.issuers.identity.sign(&identity, IDENTITY_TYPE).unwrap();
        Shopper { test: self, http: self.http.login(&token), identity }
    }

    /// The shop tells of a product.
    async fn product(&self, id: i64) {
        self.tell_product(shop::product(id, self.clock.now())).await;
    }

    async fn tell_product(&self, product: common::wire::product::ProductSnapshot) {
        self.send(&product).await;
        testkit::eventually(SOON, async || {
            let version: Option<i64> =
                sqlx::query_scalar("SELECT version FROM product_copy WHERE product_id = $1")
                    .bind(product.product_id.0)
                    .fetch_optional(&self.pg)
                    .await?;
            anyhow::ensure!(version.is_some_and(|known| known >= product.version), "copy has {version:?}");
            Ok(())
        })
        .await;
    }

    /// The stock answers.
    async fn decide(&self, order: OrderId, product: i64, refused: Option<Refusal>) {
        self.decide_attempt(order, product, 1, refused).await;
    }

    async fn decide_attempt(&self, order: OrderId, product: i64, attempt: i32, refused: Option<Refusal>) {
        let result = if refused.is_some() { Outcome::Rejected } else { Outcome::Reserved };
        let decision = Decision { order_id: order, attempt, result, reason: refused };
        self.tell_stock(product, 5, vec![decision]).await;
    }

    /// What the stock says: its decisions, and how many of ten units are left.
    async fn tell_stock(&self, product: i64, available: i64, decisions: Vec<Decision>) {
        let (product_id, reserved) = (ProductId(product), 10 - available);
        let decided = StockDecided {
            product_id,
            first: 0,
            last: 0,
            total: 10,
            available,
            reserved,
            sold: 0,
            decisions,
        };
        self.send(&decided).await;
    }

    async fn send<T: Event>(&self, event: &T) {
        let record = Outgoing {
            topic: self.kafka.topic(T::TOPIC),
            key: event.key(),
            headers: Vec::new(),
            body: serde_json::to_vec(event).unwrap(),
        };
        self.producer.send(&[record]).await.unwrap();
    }

    /// Waits until the order is in a state.
    async fn reaches(&self, order: OrderId, state: OrderState) {
        testkit::eventually(SOON, async || {
            let now: OrderState = sqlx::query_scalar("SELECT state FROM orders WHERE order_id = $1")
                .bind(order.0)
                .fetch_one(&self.pg)
                .await?;
            anyhow::ensure!(now == state, "{order} is {now:?}, not {state:?}");
            Ok(())
        })
        .await;
    }

    /// Waits until everything in the outbox was heard, and returns what the stock was told of an order.
    async fn commands(&self, order: OrderId) -> Vec<&'static str> {
        self.quiet().await;
        let of_order = |command: &StockCommand| match command {
            StockCommand::Reserve(reserve) => reserve.order_id == order,
            StockCommand::Confirm(settle) | StockCommand::Release(settle) | StockCommand::Restock(settle) => {
                settle.order_id == order
            }
            _ => false,
        };
        self.commands.lock().unwrap().iter().filter(|c| of_order(c)).map(Event::kind).collect()
    }

    /// What the stock was told to take back of an order.
    async fn released(&self, order: OrderId) -> Vec<Settle> {
        self.quiet().await;
        let release = |command: &StockCommand| match command {
            StockCommand::Release(settle) if settle.order_id == order => Some(settle.clone()),
            _ => None,
        };
        self.commands.lock().unwrap().iter().filter_map(release).collect()
    }

    /// The events of an order, as heard: their numbers and states.
    async fn history(&self, order: OrderId) -> Vec<(i64, OrderState)> {
        self.quiet().await;
        let events = self.events.lock().unwrap();
        events.iter().filter(|e| e.order_id == order).map(|event| (event.seq, event.state)).collect()
    }

    /// Waits until the outbox is empty and a mark that is sent after it was heard on both topics.
    async fn quiet(&self) {
        testkit::eventually(SOON, async || {
            anyhow::ensure!(self.rows("outbox").await == 0, "the outbox is not empty");
            Ok(())
        })
        .await;
        let mark = OrderId::new();
        let (commands, events) = marks(mark, self.clock.now());
        for command in &commands {
            self.send(command).await;
        }
        for event in &events {
            self.send(event).await;
        }
        testkit::eventually(SOON, async || {
            let heard_commands =
                self.commands.lock().unwrap().iter().filter(|c| commands.contains(c)).count();
            let heard_events = self.events.lock().unwrap().iter().filter(|e| events.contains(e)).count();
            anyhow::ensure!(
                heard_commands == commands.len() && heard_events == events.len(),
                "not heard yet"
            );
            Ok(())
        })
        .await;
    }

    /// A figure of the service, by its name and labels.
    async fn figure(&self, name: &str) -> f64 {
        self.figure_if_any(name).await.unwrap()
    }

    /// The same of one that may not be there yet.
    async fn figure_if_any(&self, name: &str) -> Option<f64> {
        let metrics = self.http.get("/metrics").await.unwrap().expect(200).body;
        let line =
            metrics.as_str().unwrap().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|figure| figure.parse().unwrap())
    }

    async fn rows(&self, table: &str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count).fetch_one(&self.pg).await.unwrap()
    }

    /// A placed order of one unit of product 1.
    async fn placed(&self, user: i64) -> (Shopper<'_>, OrderId) {
        self.product(1).await;
        let shopper = self.shopper(user).with_pass(1, 1);
        let order = shopper.place("k", &[(1, 1)]).await;
        (shopper, order)
    }

    /// An order that was paid with this payment.
    async fn paid(&self, user: i64, payment_key: &str) -> (Shopper<'_>, OrderId) {
        let (shopper, order) = self.reserved(user).await;
        shopper.pay(order, "paid", payment_key).await.expect(200);
        (shopper, order)
    }

    /// An order that holds its units.
    async fn reserved(&self, user: i64) -> (Shopper<'_>, OrderId) {
        let (shopper, order) = self.placed(user).await;
        self.decide(order, 1, None).await;
        self.reaches(order, OrderState::Reserved).await;
        (shopper, order)
    }
}

impl Drop for TestOrder {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn kafka() -> Kafka {
    Kafka {
        kafka_bootstrap: testkit::servers().kafka.clone(),
        kafka_topic_prefix: testkit::topic_prefix(),
        kafka_replication: 1,
        instance: "order-1".into(),
    }
}

/// Enough records, by their keys, to reach every partition after everything that was sent before.
fn marks(order: OrderId, at: common::wire::Time) -> (Vec<StockCommand>, Vec<OrderChanged>) {
    let settle = |product: i64| Settle {
        product_id: ProductId(1_000_000 + product),
        order_id: order,
        attempt: 0,
        user_id: UserId(0),
        reason: "mark".into(),
        at,
    };
    let event = |seq| OrderChanged {
        order_id: OrderId::new(),
        seq,
        user_id: UserId(0),
        state: OrderState::Received,
        reason: Some(order.to_string()),
        lines: Vec::new(),
        at,
    };
    ((0..32).map(|product| StockCommand::Confirm(settle(product))).collect(), (0..32).map(event).collect())
}

fn hear<T: Event + Clone + 'static>(
    kafka: &Kafka,
    group: &'static str,
    producer: &Producer,
    stop: &Stop,
) -> Heard<T> {
    let heard = Heard::<T>::default();
    let source = Source::new(kafka, group, producer);
    let (into, until) = (Arc::clone(&heard), stop.clone());
    stop.spawn("hear", async move {
        let apply = |records: Arc<[Received<T>]>| {
            into.lock().unwrap().extend(records.iter().map(|record| record.event.clone()));
            std::future::ready(Ok(()))
        };
        consume(source, until, apply).await;
    });
    heard
}

/// Somebody with a login.
struct Shopper<'a> {
    test: &'a TestOrder,
    http: Http,
    identity: Identity,
}

impl Shopper<'_> {
    /// A pass for a product, of this login.
    fn pass_for(&self, product: i64, ticket: i64) -> String {
        self.test.issuers.pass_token(&self.identity, ProductId(product), Ticket(ticket))
    }

    /// The same shopper, let in to a product.
    fn with_pass(self, product: i64, ticket: i64) -> Self {
        let http = self.http.pass(&self.pass_for(product, ticket));
        Self { http, ..self }
    }

    /// Places an order of `(product, quantity)` lines.
    async fn place(&self, key: &str, lines: &[(i64, i64)]) -> OrderId {
        let answer = self.http.key(key).post("/api/orders", &order_of(lines)).await.unwrap();
        answer.expect(202).body::<OrderView>().order_id
    }

    async fn show(&self, order: OrderId) -> OrderView {
        self.http.get(&format!("/api/orders/{order}")).await.unwrap().expect(200).body()
    }
}

fn order_of(lines: &[(i64, i64)]) -> Value {
    let lines: Vec<Value> =
        lines.iter().map(|(product, n)| json!({"productId": product, "quantity": n})).collect();
    json!({ "lines": lines })
}
