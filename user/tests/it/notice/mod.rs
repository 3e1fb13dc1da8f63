//! Subscriptions and boxes, on real PostgreSQL and Kafka. Products, the stock's decisions and orders come from the
//! test's hand.

mod boxes;
mod killed;
mod subscription;
mod told;

use std::time::Duration;

use chrono::TimeDelta;
use common::config::Kafka;
use common::kafka::producer::{Outgoing, Producer};
use common::wire::event::{Event, OrderChanged, StockDecided};
use common::wire::id::{CompanyId, OrderId, ProductId, SessionId, UserId};
use common::wire::money::Won;
use common::wire::notice::{Notice, NoticeView};
use common::wire::order::OrderState;
use common::wire::product::{ProductSnapshot, QueuePolicy};
use common::wire::token::{IDENTITY_TYPE, Role};
use serde_json::Value;
use sqlx::PgPool;
use testkit::client::Http;
use testkit::issuers::Issuers;
use user::Config;

use crate::{TestUser, serve};

/// Patience for everything that happens beside a request.
const SOON: Duration = Duration::from_secs(20);

/// Two replicas of the service with topics of their own.
struct TestNotice {
    user: TestUser,
    other: Http,
    config: Config,
    producer: Producer,
}

impl TestNotice {
    async fn start() -> Self {
        let mut own = None;
        let user = TestUser::start_with(|config| {
            config.kafka.kafka_bootstrap = testkit::servers().kafka.clone();
            own = Some(config.clone());
        })
        .await;
        let config: Config = own.unwrap();
        let other =
            Config { kafka: Kafka { instance: "user-2".into(), ..config.kafka.clone() }, ..config.clone() };
        let other = Http::new(serve(&other, &user.stop).await);
        let producer = Producer::new(&config.kafka).unwrap();
        Self { user, other, config, producer }
    }

    /// Makes accounts with the ids from 1 on.
    async fn people(&self, count: i32) {
        open_accounts(&self.user.pg, count).await;
    }

    /// Somebody with a login.
    fn caller(&self, user: i64) -> Http {
        self.user.http.login(&self.token(user))
    }

    /// The same at the other replica.
    fn caller_there(&self, user: i64) -> Http {
        self.other.login(&self.token(user))
    }

    fn token(&self, user: i64) -> String {
        let claims =
            Issuers::identity_claims(UserId(user), Role::Customer, SessionId::new(), &self.user.clock);
        self.user.issuers.identity.sign(&claims, IDENTITY_TYPE).unwrap()
    }

    async fn send<T: Event>(&self, events: &[T]) {
        let record = |event: &T| Outgoing {
            topic: self.config.kafka.topic(T::TOPIC),
            key: event.key(),
            headers: Vec::new(),
            body: serde_json::to_vec(event).unwrap(),
        };
        self.producer.send(&events.iter().map(record).collect::<Vec<_>>()).await.unwrap();
    }

    /// The shop tells of a product, and it is known here.
    async fn tell(&self, product: &ProductSnapshot) {
        // Topics are made after the service is ready.
        testkit::eventually(SOON, async || {
            let record = Outgoing {
                topic: self.config.kafka.topic(ProductSnapshot::TOPIC),
                key: product.key(),
                headers: Vec::new(),
                body: serde_json::to_vec(product)?,
            };
            self.producer.send(&[record]).await
        })
        .await;
        testkit::eventually(SOON, async || {
            let version: Option<i64> = sqlx::query_scalar("SELECT version FROM sale WHERE product_id = $1")
                .bind(product.product_id.0)
                .fetch_optional(&self.user.pg)
                .await?;
            anyhow::ensure!(version.is_some_and(|known| known >= product.version), "{version:?} is known");
            Ok(())
        })
        .await;
    }

    /// A product whose sale begins in so many minutes and ends an hour later.
    fn product(&self, id: i64, in_minutes: i64) -> ProductSnapshot {
        let starts_at = self.user.clock.now() + TimeDelta::minutes(in_minutes);
        ProductSnapshot {
            product_id: ProductId(id),
            version: 1,
            price_version: 1,
            company_id: CompanyId(1),
            seller_id: UserId(900),
            product_name: format!("product {id}"),
            original_price: Won(2_000),
            discounted_price: Won(1_000),
            product_options: Vec::new(),
            sale_start_time: starts_at,
            sale_end_time: starts_at + TimeDelta::hours(1),
            purchase_limit: 1,
            queue: QueuePolicy::default(),
            deleted: false,
            state: None,
            state_version: 0,
            changed_by: UserId(900),
        }
    }

    async fn subscribe(&self, user: i64, product: i64) {
        let path = format!("/api/products/{product}/subscription");
        self.caller(user).post(&path, &Value::Null).await.unwrap().expect(201);
    }

    /// A reader's notices, the oldest first.
    async fn box_of(&self, user: i64) -> Vec<NoticeView> {
        let page = self.caller(user).get("/api/notifications?limit=100").await.unwrap().expect(200).body;
        let mut notices: Vec<NoticeView> = serde_json::from_value(page["items"].clone()).unwrap();
        notices.reverse();
        notices
    }

    /// Waits until a reader has so many notices, and returns what they say.
    async fn notices(&self, user: i64, count: usize) -> Vec<Notice> {
        testkit::eventually(SOON, async || {
            let notices = self.box_of(user).await;
            anyhow::ensure!(notices.len() >= count, "{notices:?}");
            Ok(notices.into_iter().map(|view| view.notice).collect())
        })
        .await
    }

    /// Waits until everything that was sent before was read and told: a mark, sent after it, has come.
    async fn quiet(&self) {
        let order = |_| order(OrderId::new(), 1, 1_000_000, OrderState::Paid);
        let marks: Vec<OrderChanged> = (0..32).map(order).collect();
        let before = self.user.rows("notice WHERE user_id = 1000000").await;
        let marked = 2_000_000 + before;
        self.send(&marks).await;
        let decisions: Vec<StockDecided> = (0..32).map(|n| decision(marked + n, 1, 0)).collect();
        self.send(&decisions).await;
        testkit::eventually(SOON, async || {
            let orders = self.user.rows("notice WHERE user_id = 1000000").await;
            let stocks = format!("sold_out WHERE product_id >= {marked}");
            let stocks = self.user.rows(&stocks).await;
            let open = self.user.rows("announcement WHERE done_at IS NULL").await;
            anyhow::ensure!(
                orders == before + 32 && stocks == 32 && open == 0,
                "{orders} marks, {stocks} stocks, {open} announcements"
            );
            Ok(())
        })
        .await;
    }
}

async fn open_accounts(pg: &PgPool, count: i32) {
    sqlx::query(
        "INSERT INTO account (user_id, login_id, password_hash, username, nickname, phone_number, shipping_address, role,
                              created_at, created_by, updated_at, updated_by, password_changed_at)
         SELECT n, 'shopper' || n, '!', 'Kim', 'kim', '010-0000-0000', 'Seoul', 'CUSTOMER',
                now(), 'system', now(), 'system', now()
         FROM generate_series(1, $1) AS n",
    )
    .bind(count)
    .execute(pg)
    .await
    .unwrap();
}

fn order(order_id: OrderId, seq: i64, user: i64, state: OrderState) -> OrderChanged {
    let at = common::clock::Clock::system().now();
    OrderChanged { order_id, seq, user_id: UserId(user), state, reason: None, lines: Vec::new(), at }
}

/// A decision about a product of ten units, none of them reserved.
fn decision(product: i64, last: i64, available: i64) -> StockDecided {
    StockDecided {
        product_id: ProductId(product),
        first: last,
        last,
        total: 10,
        available,
        reserved: 0,
        sold: 10 - available,
        decisions: Vec::new(),
    }
}
