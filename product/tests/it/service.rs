//! One product service of a test's own, and what a test does with it.

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use common::clock::Clock;
use common::config::Kafka;
use common::kafka::producer::{Outgoing, Producer};
use common::redis::Connections;
use common::stop::Stop;
use common::wire::Time;
use common::wire::event::{
    Event as _, Reserve, STOCK_COMMANDS, STOCK_DECISIONS, Settle, StockCommand, StockDecided, Topic,
};
use common::wire::id::{OrderId, ProductId, SessionId, Ticket, UserId};
use common::wire::token::{ASSERTION_HEADER, Role};
use product::config::Config;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::client::Http;
use testkit::eventually;
use testkit::issuers::Issuers;
use testkit::wire::Wire;
use tokio::net::TcpListener;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The usual seller.
pub(crate) const SELLER: UserId = UserId(11);

/// A running service with its stores.
pub(crate) struct Service {
    pub(crate) clock: Clock,
    pub(crate) pg: PgPool,
    /// Between the service and PostgreSQL; the test itself does not go through it.
    pub(crate) wire: Wire,
    issuers: Issuers,
    config: Config,
    producer: Producer,
    running: Vec<Replica>,
}

struct Replica {
    stop: Stop,
    tasks: Stop,
    http: Http,
}

impl Service {
    /// A service with a database and topics of its own.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with these settings.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        Self::start_as(settings, |_| {}).await
    }

    /// The same with settings that only a test changes.
    pub(crate) async fn start_as(settings: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        let issuers = Issuers::new();
        let database = testkit::database("product");
        let server = database.split_once('@').unwrap().1.split_once('/').unwrap().0;
        let wire = Wire::to(server).await.unwrap();
        let through = database.replace(server, &wire.address.to_string());
        let own = [
            "product",
            &format!("--database-url={through}"),
            &format!("--kafka-bootstrap={}", testkit::servers().kafka),
            &format!("--kafka-topic-prefix={}", testkit::topic_prefix()),
            &format!("--internal-key-file={}", issuers.internal_key_file.display()),
        ];
        let mut config = Config::parse_from(own.iter().chain(settings));
        config.trust = issuers.trust().await;
        config.clock = testkit::clock();
        change(&mut config);
        if config.images.image_store == "images" {
            let folder = issuers.internal_key_file.with_file_name("images");
            config.images.image_store = folder.display().to_string();
        }
        let pg = PgPool::connect_lazy(&database).unwrap();
        let producer = Producer::new(&config.kafka).unwrap();
        let clock = config.clock.clone();
        let mut service = Self { clock, pg, wire, issuers, config, producer, running: Vec::new() };
        service.add_replica().await;
        service
    }

    /// One more process of the same deployment.
    pub(crate) async fn add_replica(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = Http::new(format!("http://{}", listener.local_addr().unwrap()));
        let (stop, tasks) = (Stop::new(), Stop::new());
        let mut config = self.config.clone();
        config.kafka.instance = format!("product-{}", self.running.len());
        let serving = product::serve(listener, config, stop.clone());
        tasks.spawn("product", async move { serving.await.unwrap() });
        let ready = http.clone();
        eventually(PATIENCE, async || {
            let answer = ready.get("/readyz").await?;
            anyhow::ensure!(answer.status == 200, "{}", answer.status);
            Ok(())
        })
        .await;
        self.running.push(Replica { stop, tasks, http });
    }

    /// Stops the first replica and waits for its end.
    pub(crate) async fn stop_first(&mut self) {
        let first = self.running.remove(0);
        first.stop.stop();
        first.tasks.drained().await;
    }

    /// The last replica, without a login.
    pub(crate) fn other(&self) -> Http {
        self.running[self.running.len() - 1].http.clone()
    }

    /// Without a login.
    pub(crate) fn anyone(&self) -> Http {
        self.running[0].http.clone()
    }

    /// Logged in.
    pub(crate) fn login(&self, user: UserId, role: Role) -> Http {
        self.anyone().login(&self.issuers.identity_token(user, role, SessionId::new(), &self.clock))
    }

    /// The usual seller.
    pub(crate) fn seller(&self) -> Http {
        self.login(SELLER, Role::Seller)
    }

    /// A shopper with a right to `product`.
    pub(crate) fn admitted(&self, user: UserId, product: ProductId) -> Http {
        let identity = Issuers::identity_claims(user, Role::Customer, SessionId::new(), &self.clock);
        let token = self.issuers.identity.sign(&identity, common::wire::token::IDENTITY_TYPE).unwrap();
        let pass = self.issuers.pass_token(&identity, product, Ticket(1));
        self.anyone().login(&token).pass(&pass)
    }

    /// Another service.
    pub(crate) fn inside(&self) -> Http {
        let assertion = self.issuers.verifier(&self.clock).assert_service().unwrap();
        self.anyone().with(ASSERTION_HEADER, assertion)
    }

    /// A company of the usual seller.
    pub(crate) async fn company(&self) -> i64 {
        let wish = json!({"companyName": "Lumen", "description": "lamps", "address": "Seoul"});
        let made = self.seller().post("/api/companies", &wish).await.unwrap().expect(201);
        made.body["companyId"].as_i64().unwrap()
    }

    /// What a registration says: a sale that began 57 s ago.
    pub(crate) fn wish(&self, company: i64, stock: i64) -> Value {
        let now = self.clock.now();
        json!({
            "companyId": company,
            "productName": "lamp",
            "description": "bright",
            "originalPrice": 1_000,
            "discountedPrice": 900,
            "stock": stock,
            "productOptions": [{"optionName": "colour", "optionValue": "red", "optionPrice": -100}],
            "categoryCode": 1_000,
            "saleStartTime": now - Duration::from_secs(57),
            "saleEndTime": now + Duration::from_secs(3_600),
            "purchaseLimit": 2,
            "images": [],
            "queue": {"count": 50, "intervalS": 10},
        })
    }

    /// Broker and names.
    pub(crate) fn kafka(&self) -> &Kafka {
        &self.config.kafka
    }

    /// Its Redis.
    pub(crate) fn redis(&self) -> Connections {
        Connections::open(&self.config.redis).unwrap()
    }

    /// The folder of pictures.
    pub(crate) fn image_folder(&self) -> &str {
        &self.config.images.image_store
    }

    /// A registered product that the stock stage has heard of.
    pub(crate) async fn product(&self, stock: i64) -> ProductId {
        let wish = self.wish(self.company().await, stock);
        let made = self.seller().post("/api/products", &wish).await.unwrap().expect(201);
        let product = ProductId(made.body["productId"].as_i64().unwrap());
        self.counts_are(product, [stock, stock, 0, 0]).await;
        product
    }

    /// Connections like those of a stock writer.
    pub(crate) async fn writers(&self) -> PgPool {
        let pool = common::pg::open(&self.config.pg, &product::MIGRATIONS, &Stop::new()).await.unwrap();
        common::pg::by_key(&pool, 3)
    }

    /// Waits until the product's total, available, reserved and sold are these.
    pub(crate) async fn counts_are(&self, product: ProductId, expected: [i64; 4]) {
        eventually(PATIENCE, async || {
            let counts = self.counts(product).await?;
            anyhow::ensure!(counts == expected, "{counts:?} instead of {expected:?}");
            Ok(())
        })
        .await;
    }

    async fn counts(&self, product: ProductId) -> anyhow::Result<[i64; 4]> {
        let row: Option<(i64, i64, i64, i64)> =
            sqlx::query_as("SELECT total, available, reserved, sold FROM stock WHERE product_id = $1")
                .bind(product.0)
                .fetch_optional(&self.pg)
                .await?;
        let (total, available, reserved, sold) = row.context("no stock row")?;
        Ok([total, available, reserved, sold])
    }

    /// A whole number from the database.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pg).await.unwrap()
    }

    /// A reserve of one unit, placed now.
    pub(crate) fn reserve(&self, product: ProductId, order: OrderId, user: i64) -> StockCommand {
        StockCommand::Reserve(Reserve {
            product_id: product,
            order_id: order,
            attempt: 1,
            user_id: UserId(user),
            quantity: 1,
            price_version: 1,
            at: self.clock.now(),
        })
    }

    /// What settles such a reserve.
    pub(crate) fn settle(&self, product: ProductId, order: OrderId, user: i64) -> Settle {
        let (reason, at): (_, Time) = ("test".into(), self.clock.now());
        Settle { product_id: product, order_id: order, attempt: 1, user_id: UserId(user), reason, at }
    }

    /// Sends commands as the order service does.
    pub(crate) async fn send(&self, commands: &[StockCommand]) {
        let records = commands.iter().map(|command| (command.key(), serde_json::to_vec(command).unwrap()));
        self.send_raw(records.collect()).await;
    }

    /// Sends anything.
    pub(crate) async fn send_raw(&self, records: Vec<(String, Vec<u8>)>) {
        self.send_to(STOCK_COMMANDS, records).await;
    }

    /// Sends to any topic.
    pub(crate) async fn send_to(&self, topic: Topic, records: Vec<(String, Vec<u8>)>) {
        let topic = self.config.kafka.topic(topic);
        let records: Vec<_> = records
            .into_iter()
            .map(|(key, body)| Outgoing { topic: topic.clone(), key, headers: Vec::new(), body })
            .collect();
        self.producer.send(&records).await.unwrap();
    }

    /// The decisions about a product, in order.
    pub(crate) fn decisions(&self, product: ProductId) -> anyhow::Result<Vec<StockDecided>> {
        let told = self.told(STOCK_DECISIONS, &product.to_string())?;
        Ok(told.into_iter().map(|record| serde_json::from_value(record).unwrap()).collect())
    }

    /// The records of one of the service's topics for a key.
    pub(crate) fn told(&self, topic: Topic, key: &str) -> anyhow::Result<Vec<Value>> {
        let records = self.records(&self.config.kafka.topic(topic), topic.partitions)?;
        let of_key = records.into_iter().filter(|(found, _)| found == key);
        Ok(of_key.map(|(_, body)| serde_json::from_slice(&body).unwrap()).collect())
    }

    /// The bodies of the commands' dead letters.
    pub(crate) fn dead_letters(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let records = self.records(&self.config.kafka.dead_letters(STOCK_COMMANDS), 1)?;
        Ok(records.into_iter().map(|(_, body)| body).collect())
    }

    /// Key and body of every record in a topic. A topic just made may have no leader yet.
    fn records(&self, topic: &str, partitions: i32) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let mut settings = self.config.kafka.client();
        settings.set("group.id", "reader").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = settings.create()?;
        let mut list = TopicPartitionList::new();
        let mut waiting = 0;
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
            let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
            waiting += high - low;
        }
        consumer.assign(&list)?;
        let mut records = Vec::new();
        while waiting > 0 {
            let message = consumer.poll(PATIENCE).context("fewer records than the watermarks say")??;
            let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
            records.push((key, message.payload().unwrap_or_default().to_vec()));
            waiting -= 1;
        }
        Ok(records)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for replica in &self.running {
            replica.stop.stop();
        }
    }
}
