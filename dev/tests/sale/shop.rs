//! What the tests have in hand: a running platform, a seller who registers sales, shoppers who buy.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use chrono::TimeDelta;
use common::auth::key::SigningKey;
use common::clock::Clock;
use common::wire::id::{ProductId, SessionId, UserId};
use common::wire::token::{IDENTITY_TYPE, Identity, Role};
use dev::stack::{Options, Stack};
use serde_json::{Value, json};
use testkit::client::{Answer, Http};
use testkit::eventually;
use testkit::issuers::Issuers;

/// Longer than any step takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A platform with an open shop.
pub(crate) struct Shop {
    pub(crate) stack: Stack,
    identity_key: SigningKey,
    next_shopper: AtomicI64,
}

static SHARED: LazyLock<Shop> = LazyLock::new(|| {
    let options = Options::for_test("sale").expect("the test servers answer");
    Shop::open(Options { shoppers: 5_000, ..options })
});

/// The platform that most tests share.
pub(crate) fn shared() -> &'static Shop {
    &SHARED
}

/// A sale's settings; the rest is the same for all.
pub(crate) struct Sale {
    pub(crate) units: i64,
    pub(crate) limit: i64,
    /// Seconds since its start; negative when it starts later.
    pub(crate) started_s: i64,
    pub(crate) queue: Value,
}

impl Default for Sale {
    /// One unit, open at once, room for everybody.
    fn default() -> Self {
        let queue = json!({"count": 100_000, "intervalS": 3_600, "admissionDelayS": 0});
        Self { units: 1, limit: 1, started_s: 1, queue }
    }
}

impl Shop {
    pub(crate) fn open(options: Options) -> Self {
        let stack = Stack::start(options).expect("the platform starts");
        let json = stack.json();
        let key = json["devKeys"]["identity"].as_str().expect("stack.json names the key");
        let identity_key = SigningKey::read(key.as_ref()).expect("the key can be read");
        let first = json["shoppers"]["firstUserId"].as_i64().expect("shoppers were prepared");
        // The load generator takes its shoppers from the front; tests take theirs from the back.
        let count = json["shoppers"]["count"].as_i64().expect("shoppers were prepared");
        Self { stack, identity_key, next_shopper: AtomicI64::new(first + count - 1) }
    }

    /// Anybody. Each has connections of its own: those of another test end with that test's runtime.
    pub(crate) fn visitor(&self) -> Http {
        Http::new(self.stack.gateway())
    }

    /// Somebody who logs in by name and password.
    pub(crate) async fn login(&self, account: &str) -> Http {
        let account = &self.stack.json()["accounts"][account];
        let body = json!({"loginId": account["loginId"], "password": account["password"]});
        let visitor = self.visitor();
        let login = visitor.post("/api/auth/login", &body).await.expect("an answer").expect(200);
        visitor.login(login.body["accessToken"].as_str().expect("a token"))
    }

    /// A shopper nobody has used yet, logged in with the development key.
    pub(crate) fn shopper(&self) -> Shopper {
        let user = UserId(self.next_shopper.fetch_sub(1, Ordering::Relaxed));
        self.shopper_as(user, SessionId::new())
    }

    pub(crate) fn shopper_as(&self, user: UserId, sid: SessionId) -> Shopper {
        let identity = Issuers::identity_claims(user, Role::Customer, sid, &Clock::system());
        let token = self.identity_key.sign(&identity, IDENTITY_TYPE).expect("a valid key signs");
        let sandbox = Http::new(self.stack.payment_sandbox());
        Shopper { http: self.visitor().login(&token), identity, token, sandbox }
    }

    /// Registers a sale and waits until its room is known and the stock was given to it.
    pub(crate) async fn register(&self, sale: Sale) -> ProductId {
        let seller = self.login("seller").await;
        let company = json!({"companyName": "Lamps", "description": "light", "address": "Seoul"});
        let company = seller.post("/api/companies", &company).await.expect("an answer").expect(201);
        let now = Clock::system().now();
        let product = json!({
            "companyId": company.body["companyId"],
            "productName": "Lamp",
            "description": "It shines.",
            "originalPrice": 50_000,
            "discountedPrice": 19_900,
            "stock": sale.units,
            "productOptions": [],
            "categoryCode": 2_000,
            "saleStartTime": now - TimeDelta::seconds(sale.started_s),
            "saleEndTime": now + TimeDelta::hours(1),
            "purchaseLimit": sale.limit,
            "images": [],
            "queue": sale.queue,
        });
        let product = seller.post("/api/products", &product).await.expect("an answer").expect(201);
        let id = ProductId(product.body["productId"].as_i64().expect("an id"));
        let watcher = self.shopper();
        let known = async || {
            let place = watcher.place(id).await;
            ensure!(place.status == 200, "{}", place.body);
            let page = seller.get(&format!("/api/products/{id}")).await?;
            ensure!(page.body["stock"] == sale.units, "{}", page.body);
            Ok(())
        };
        eventually(PATIENCE, known).await;
        id
    }

    /// Lets a running sale end in two seconds: time enough for all to hear of it before.
    pub(crate) async fn end(&self, product: ProductId) {
        let seller = self.login("seller").await;
        let path = format!("/api/products/{product}");
        let page = seller.get(&path).await.expect("an answer").expect(200).body;
        let mut change: Value = REPEATED.iter().map(|name| (*name, page[*name].clone())).collect();
        change["saleEndTime"] = json!(Clock::system().now() + TimeDelta::seconds(2));
        seller.put(&path, &change).await.expect("an answer").expect(200);
    }
}

/// What a change of a product repeats from its page.
const REPEATED: [&str; 11] = [
    "productName",
    "description",
    "originalPrice",
    "discountedPrice",
    "productOptions",
    "categoryCode",
    "saleStartTime",
    "saleEndTime",
    "purchaseLimit",
    "images",
    "queue",
];

/// Joins and waits for the access token: straight through, or by the next tick.
pub(crate) async fn admitted(who: &Http, product: ProductId) -> String {
    let path = format!("/api/queue/{product}");
    let place = who.post(&path, &json!({})).await.expect("an answer").expect(200);
    if let Some(token) = place.body["token"].as_str() {
        return token.to_owned();
    }
    eventually(PATIENCE, async || {
        let place = who.get(&path).await?;
        ensure!(matches!(place.body["state"].as_str(), Some("ready" | "admitted")), "{}", place.body);
        let token = who.post(&format!("{path}/token"), &json!({})).await?;
        ensure!(token.status == 200, "{}", token.body);
        Ok(token.body["token"].as_str().expect("a token").to_owned())
    })
    .await
}

/// Somebody who buys.
#[derive(Clone)]
pub(crate) struct Shopper {
    pub(crate) http: Http,
    pub(crate) identity: Identity,
    pub(crate) token: String,
    sandbox: Http,
}

impl Shopper {
    pub(crate) async fn join(&self, product: ProductId) -> Answer {
        self.http.post(&format!("/api/queue/{product}"), &json!({})).await.expect("an answer")
    }

    pub(crate) async fn place(&self, product: ProductId) -> Answer {
        self.http.get(&format!("/api/queue/{product}")).await.expect("an answer")
    }

    /// Joins and waits for the access token.
    pub(crate) async fn admitted(&self, product: ProductId) -> String {
        admitted(&self.http, product).await
    }

    pub(crate) async fn order(&self, product: ProductId, pass: &str, quantity: i64, key: &str) -> Answer {
        let body = json!({"lines": [{"productId": product, "quantity": quantity}]});
        self.http.pass(pass).key(key).post("/api/orders", &body).await.expect("an answer")
    }

    /// Waits until an order leaves `received`, and returns it.
    pub(crate) async fn decided(&self, order: &str) -> Value {
        eventually(PATIENCE, async || {
            let view = self.http.get(&format!("/api/orders/{order}")).await?;
            ensure!(view.body["state"] != "received", "{}", view.body);
            Ok(view.body)
        })
        .await
    }

    /// Orders one unit and waits for the stock's answer.
    pub(crate) async fn reserve(&self, product: ProductId, pass: &str) -> Value {
        let key = format!("order-{}", uuid::Uuid::new_v4());
        let order = self.order(product, pass, 1, &key).await.expect(202);
        self.decided(order.body["orderId"].as_str().expect("an id")).await
    }

    /// Pays an order at the provider and confirms it here.
    pub(crate) async fn pay(&self, order: &Value, outcome: &str) -> Answer {
        let (id, amount) = (&order["orderId"], &order["totalPrice"]);
        let path = format!("/api/orders/{}/payment", id.as_str().expect("an id"));
        let checkout = self.http.post(&path, &json!({})).await.expect("an answer").expect(200);
        assert_eq!(&checkout.body["amount"], amount);
        let page = json!({"orderId": id, "amount": amount, "outcome": outcome});
        let page = self.sandbox.post("/sandbox/checkouts", &page).await.expect("an answer").expect(201);
        let confirm = json!({"paymentKey": page.body["paymentKey"], "amount": amount});
        let key = format!("pay-{}", uuid::Uuid::new_v4());
        self.http.key(&key).post(&path, &confirm).await.expect("an answer")
    }
}
