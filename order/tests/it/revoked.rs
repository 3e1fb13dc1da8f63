//! Access tokens that were taken back, also when the gateway vouched for them a moment before.

use common::redis::{Connections, Script, Value};
use common::wire::id::{ProductId, Ticket};
use common::wire::order::OrderView;
use common::wire::token::{PASS_TYPE, Pass};
use testkit::client::Http;
use testkit::issuers::Issuers;

use crate::{SOON, Shopper, TestOrder, order_of};

impl TestOrder {
    /// What queue-server does to Redis.
    async fn redis(&self, words: &[&str]) {
        let redis = Connections::open(&self.redis).unwrap();
        let args = words.iter().map(|word| Value::from(*word)).collect();
        let script = Script::new("redis.call(unpack(ARGV)) return 1");
        let _: i64 = script.run(&redis, vec![words[1].to_owned()], args).await.unwrap();
    }

    /// A shopper's pass as the gateway vouches for it, or as the shopper brings it.
    fn holding(&self, shopper: &Shopper<'_>, pass: &Pass, is_vouched: bool) -> Http {
        if is_vouched {
            let assertion =
                self.issuers.verifier(&self.clock).assert(&shopper.identity, std::slice::from_ref(pass));
            return self.http.with("x-identity", assertion.unwrap());
        }
        shopper.http.pass(&self.issuers.pass.sign(pass, PASS_TYPE).unwrap())
    }
}

fn pass(shopper: &Shopper<'_>, product: i64, epoch: i64) -> Pass {
    Pass { epoch, ..Issuers::pass_claims(&shopper.identity, ProductId(product), Ticket(1)) }
}

#[tokio::test]
async fn a_revoked_pass_orders_nothing_even_when_the_gateway_vouched_for_it() {
    let test = TestOrder::start().await;
    for (number, (what, epoch, rooms_epoch, is_denied)) in
        (1..).zip([("older", 1, 2, false), ("of before the first", 0, 1, false), ("denied", 2, 2, true)])
    {
        test.product(number).await;
        let epoch_key = format!("pass-epoch:{{{number}}}");
        let denied_key = format!("pass-denied:{{{number}}}");
        let shopper = test.shopper(7);
        let [void, good] = [epoch, rooms_epoch].map(|epoch| pass(&shopper, number, epoch));
        test.redis(&["SET", &epoch_key, &rooms_epoch.to_string()]).await;
        if is_denied {
            test.redis(&["SADD", &denied_key, &void.jti.to_string()]).await;
        }
        let before = (test.rows("orders").await, test.rows("idempotency").await);
        for is_vouched in [true, false] {
            let http = test.holding(&shopper, &void, is_vouched).key("k");
            let answer = http.post("/api/orders", &order_of(&[(number, 1)])).await.unwrap();
            assert_eq!(answer.body["code"], "access-token-revoked", "{what}, vouched for: {is_vouched}");
            answer.problem(403, "access-token-revoked");
        }
        assert_eq!((test.rows("orders").await, test.rows("idempotency").await), before, "{what}");
        // The key and the ticket are free for a pass that counts.
        let http = test.holding(&shopper, &good, true).key(&format!("k{number}"));
        http.post("/api/orders", &order_of(&[(number, 1)])).await.unwrap().expect(202);
    }
}

#[tokio::test]
async fn an_order_placed_before_the_revocation_stands() {
    let test = TestOrder::start().await;
    test.product(1).await;
    let shopper = test.shopper(7);
    let (pass, body) = (pass(&shopper, 1, 0), order_of(&[(1, 1)]));
    let http = test.holding(&shopper, &pass, true);
    let placed: OrderView = http.key("k").post("/api/orders", &body).await.unwrap().expect(202).body();
    test.redis(&["SET", "pass-epoch:{1}", "1"]).await;
    testkit::eventually(SOON, async || {
        let other = http.key("other").post("/api/orders", &body).await?;
        anyhow::ensure!(other.status == 403, "not seen yet: {}", other.body);
        other.problem(403, "access-token-revoked");
        Ok(())
    })
    .await;
    // A repeat gets its answer, and the owner sees, and could pay, what is reserved.
    let again: OrderView = http.key("k").post("/api/orders", &body).await.unwrap().expect(202).body();
    assert_eq!(again.order_id, placed.order_id);
    assert_eq!(shopper.show(placed.order_id).await.order_id, placed.order_id);
}
