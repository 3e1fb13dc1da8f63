use common::wire::event::{Refusal, StockCommand};
use common::wire::id::SessionId;
use common::wire::order::{OrderState, OrderView};
use common::wire::token::Role;
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::client::Http;
use testkit::issuers::Issuers;
use testkit::wire::Wire;

use crate::{SOON, TestOrder, order_of, shop};

/// Every table that an order may leave something in.
const TABLES: [&str; 7] =
    ["orders", "order_line", "order_hold", "order_ticket", "order_transition", "idempotency", "outbox"];

async fn post(http: &Http, body: &Value) -> testkit::client::Answer {
    http.post("/api/orders", body).await.unwrap()
}

#[tokio::test]
async fn an_order_has_the_shops_prices_and_asks_the_stock() {
    let test = TestOrder::start().await;
    test.product(1).await;
    test.product(9).await;
    let shopper = test.shopper(7).with_pass(1, 11).with_pass(9, 99);
    let body = json!({
        "lines": [
            {"productId": 1, "quantity": 2},
            {"productId": 9, "optionId": 91, "quantity": 1},
            {"productId": 1, "quantity": 1},
        ],
        "shippingAddress": "세종대로 110", "memo": "문 앞에",
    });
    let answer = post(&shopper.http.key("k"), &body).await.expect(202);
    assert!(!answer.headers.contains_key("idempotent-replayed"));
    let view: OrderView = answer.body();
    assert_eq!((view.state, view.total_price.0), (OrderState::Received, 4_500));
    assert_eq!(view.lines.iter().map(|line| line.unit_price.0).collect::<Vec<_>>(), [1_000, 1_500, 1_000]);
    assert_eq!(view.lines[0].product_name, "product 1");
    assert_eq!(shopper.show(view.order_id).await, view);

    assert_eq!(test.commands(view.order_id).await, ["stock.reserve.v1"; 2]);
    let mut reserves: Vec<(i64, u32, i64, i32)> = Vec::new();
    for command in test.commands.lock().unwrap().iter() {
        if let StockCommand::Reserve(reserve) = command {
            assert_eq!((reserve.user_id.0, reserve.at), (7, view.created_at));
            reserves.push((reserve.product_id.0, reserve.quantity, reserve.price_version, reserve.attempt));
        }
    }
    reserves.sort_unstable();
    assert_eq!(reserves, [(1, 3, 3, 1), (9, 1, 3, 1)], "lines of one product are one reserve");
    assert_eq!(test.history(view.order_id).await, [(1, OrderState::Received)]);
    let events = test.events.lock().unwrap();
    let event = events.iter().find(|event| event.order_id == view.order_id).unwrap();
    let lines: Vec<_> =
        event.lines.iter().map(|line| (line.product_id.0, line.quantity, line.tkt.0)).collect();
    assert_eq!(lines, [(1, 3, 11), (9, 1, 99)]);
}

#[tokio::test]
async fn the_same_key_and_body_give_the_same_order() {
    let test = TestOrder::start().await;
    test.product(1).await;
    let shopper = test.shopper(7).with_pass(1, 1);
    let first = post(&shopper.http.key("k"), &order_of(&[(1, 2)])).await.expect(202);
    let spelled_otherwise = r#"{ "lines": [ {"quantity": 2, "productId": 1} ] }"#;
    let request = shopper.http.key("k").request(reqwest::Method::POST, "/api/orders");
    let request = request.header("content-type", "application/json").body(spelled_otherwise);
    let again = Http::send("again".into(), request).await.unwrap().expect(202);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.body, first.body);

    post(&shopper.http.key("k"), &order_of(&[(1, 3)])).await.problem(422, "idempotency-key-reused");
    // A key belongs to its account: to somebody else it is new.
    post(&test.shopper(8).with_pass(1, 2).http.key("k"), &order_of(&[(1, 3)])).await.expect(202);
    assert_eq!(test.rows("orders").await, 2);
}

#[tokio::test]
async fn a_repeat_gets_its_answer_also_after_pass_and_sale_have_ended() {
    let test = TestOrder::start().await;
    test.product(1).await;
    let first = post(&test.shopper(7).with_pass(1, 1).http.key("k"), &order_of(&[(1, 1)])).await.expect(202);
    test.clock.advance(Duration::from_secs(11 * 3_600));
    let later = test.shopper(7);
    assert_eq!(post(&later.http.key("k"), &order_of(&[(1, 1)])).await.expect(202).body, first.body);
    post(&later.http.key("new"), &order_of(&[(1, 1)])).await.problem(403, "access-token-required");
    let admitted = test.shopper(7).with_pass(1, 2);
    post(&admitted.http.key("new"), &order_of(&[(1, 1)])).await.problem(409, "sale-closed");
}

#[tokio::test]
async fn one_key_at_the_same_time_makes_one_order() {
    let test = TestOrder::start().await;
    test.product(1).await;
    let shopper = test.shopper(7).with_pass(1, 1);
    let (http, body) = (shopper.http.key("k"), order_of(&[(1, 1)]));
    let answers = join_all((0..16).map(|_| post(&http, &body))).await;
    let first = &answers[0].body;
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (202, first));
    }
    let fresh = answers.iter().filter(|answer| !answer.headers.contains_key("idempotent-replayed")).count();
    assert_eq!(fresh, 1);
    assert_eq!(test.rows("orders").await, 1);
}

#[tokio::test]
async fn a_key_that_is_held_for_long_is_in_progress() {
    let test = TestOrder::start().await;
    test.product(1).await;
    let mut holder = test.pg.begin().await.unwrap();
    sqlx::query("INSERT INTO idempotency VALUES (7, '/api/orders', 'k', '', NULL, NULL, now())")
        .execute(&mut *holder)
        .await
        .unwrap();
    let shopper = test.shopper(7).with_pass(1, 1);
    let answer = post(&shopper.http.key("k"), &order_of(&[(1, 1)])).await;
    assert_eq!(answer.headers["retry-after"], "1");
    answer.problem(409, "request-in-progress");
    holder.rollback().await.unwrap();
    post(&shopper.http.key("k"), &order_of(&[(1, 1)])).await.expect(202);
}

#[tokio::test]
async fn what_is_refused_leaves_no_row() {
    let test = TestOrder::start().await;
    for id in [1, 9] {
        test.product(id).await;
    }
    let now = test.clock.now();
    let later = now + chrono::Duration::seconds(60);
    let mut closed = shop::product(3, now);
    closed.sale_end_time = now;
    let mut early = shop::product(4, now);
    (early.sale_start_time, early.sale_end_time) = (later, later + chrono::Duration::hours(1));
    let mut gone = shop::product(5, now);
    gone.deleted = true;
    for product in [closed, early, gone] {
        test.tell_product(product).await;
    }
    let mut shopper = test.shopper(7);
    for product in [1, 3, 4, 5, 9, 77] {
        shopper = shopper.with_pass(product, 1);
    }
    let http = shopper.http.key("k");

    let fields = [
        (json!({"lines": []}), "lines"),
        (order_of(&[(1, 1); 21]), "lines"),
        (order_of(&[(1, 0)]), "lines[0].quantity"),
        (order_of(&[(1, 1), (1, -1)]), "lines[1].quantity"),
        (order_of(&[(1, 101)]), "lines[0].quantity"),
        (order_of(&[(1, i64::MAX)]), "lines[0].quantity"),
        (json!({"lines": [{"productId": 1, "quantity": 1e30}]}), "lines[0].quantity"),
        (json!({"lines": [{"productId": "one", "quantity": 1}]}), "lines[0].productId"),
        (json!({"lines": [{"productId": 1, "quantity": 1.5}]}), "lines[0].quantity"),
        (json!({"lines": [{"productId": 1, "quantity": 1, "unitPrice": 1}]}), "lines[0].unitPrice"),
        (json!({"lines": [{"productId": 1, "quantity": 1}], "memo": "x".repeat(256)}), "memo"),
        (json!({"lines": [{"productId": 1, "quantity": 1}], "memo": "\0"}), "memo"),
        (order_of(&[(1, 1), (9, 1)]), "lines[1].optionId"),
    ];
    for (body, field) in fields {
        let problem = post(&http, &body).await.problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let request = http.request(reqwest::Method::POST, "/api/orders").body("{\"lines\": [");
    Http::send("malformed".into(), request).await.unwrap().problem(400, "malformed-json");
    post(&http, &json!({"lines": [], "memo": "x".repeat(1 << 20)})).await.problem(413, "body-too-large");
    post(&shopper.http, &order_of(&[(1, 1)])).await.problem(400, "idempotency-key-required");

    let unknown_option = json!({"lines": [{"productId": 1, "optionId": 91, "quantity": 1}]});
    post(&http, &unknown_option).await.problem(404, "unknown-option");
    post(&http, &order_of(&[(77, 1)])).await.problem(404, "unknown-product");
    post(&http, &order_of(&[(3, 1)])).await.problem(409, "sale-closed");
    post(&http, &order_of(&[(4, 1)])).await.problem(409, "sale-not-open");
    post(&http, &order_of(&[(5, 1)])).await.problem(409, "sale-closed");
    post(&http, &order_of(&[(1, 3), (1, 3)])).await.problem(409, "purchase-limit-exceeded");
    for table in TABLES {
        assert_eq!(test.rows(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn every_product_needs_a_pass_of_this_login() {
    let test = TestOrder::start().await;
    test.product(1).await;
    test.product(2).await;
    let body = order_of(&[(1, 1), (2, 1)]);
    post(&test.http.key("k"), &body).await.problem(401, "login-required");
    post(&test.http.key("k").login("a.b.c"), &body).await.problem(401, "invalid-token");
    post(&test.http.key("k").with("x-user-id", "7"), &body).await.problem(401, "login-required");
    let foreign_issuer = Issuers::new();
    let forged = foreign_issuer.identity_token(
        common::wire::id::UserId(7),
        Role::Admin,
        SessionId::new(),
        &test.clock,
    );
    post(&test.http.key("k").login(&forged), &body).await.problem(401, "invalid-token");

    let shopper = test.shopper(7).with_pass(1, 1);
    let problem = post(&shopper.http.key("k"), &body).await.problem(403, "access-token-required");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 1);
    assert_eq!(problem["errors"][0]["field"], "lines[1].productId");

    let foreign = test.shopper(8).pass_for(2, 1);
    post(&shopper.http.key("k").pass(&foreign), &body).await.problem(403, "invalid-access-token");
    let other_login = test.shopper(7).pass_for(2, 1);
    post(&shopper.http.key("k").pass(&other_login), &body).await.problem(403, "invalid-access-token");
    let forged = foreign_issuer.pass_token(
        &shopper.identity,
        common::wire::id::ProductId(2),
        common::wire::id::Ticket(1),
    );
    post(&shopper.http.key("k").pass(&forged), &body).await.problem(403, "invalid-access-token");
    // An identity is no pass, however well it is signed.
    let identity =
        test.issuers.identity_token(shopper.identity.sub, Role::Customer, shopper.identity.sid, &test.clock);
    post(&shopper.http.key("k").pass(&identity), &body).await.problem(403, "invalid-access-token");
    assert_eq!(test.rows("orders").await + test.rows("idempotency").await, 0);

    let assertion = test.issuers.verifier(&test.clock);
    let pass = |product| {
        Issuers::pass_claims(
            &shopper.identity,
            common::wire::id::ProductId(product),
            common::wire::id::Ticket(1),
        )
    };
    let inside = assertion.assert(&shopper.identity, &[pass(1), pass(2)]).unwrap();
    post(&test.http.key("k").with("x-identity", inside), &body).await.expect(202);
}

#[tokio::test]
async fn a_ticket_has_one_order_until_the_stock_refuses_it() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    let again = || async { post(&shopper.http.key("other"), &order_of(&[(1, 1)])).await };
    again().await.problem(409, "ticket-used");
    assert_eq!(test.rows("idempotency").await, 1, "a refusal leaves its key free");
    test.decide(order, 1, Some(Refusal::SoldOut)).await;
    test.reaches(order, OrderState::Rejected).await;
    assert_eq!(shopper.show(order).await.reason.as_deref(), Some("soldOut"));
    let second: OrderView = again().await.expect(202).body();
    assert_ne!(second.order_id, order);

    test.decide(second.order_id, 1, None).await;
    test.reaches(second.order_id, OrderState::Reserved).await;
    let cancel = format!("/api/orders/{}/cancel", second.order_id);
    shopper.http.key("c").post(&cancel, &json!({})).await.unwrap().expect(200);
    let third = post(&shopper.http.key("third"), &order_of(&[(1, 1)])).await;
    third.problem(409, "ticket-used");
}

#[tokio::test]
async fn a_product_that_the_log_has_not_told_of_is_asked_for() {
    let test = TestOrder::start().await;
    test.shop.sells(shop::product(77, test.clock.now()));
    let shopper = test.shopper(7).with_pass(77, 1);
    shopper.place("k", &[(77, 1)]).await;
    assert_eq!(test.rows("product_copy").await, 1);
}

#[tokio::test]
async fn an_older_snapshot_changes_nothing() {
    let test = TestOrder::start().await;
    let now = test.clock.now();
    let mut new = shop::product(1, now);
    (new.version, new.discounted_price) = (5, common::wire::money::Won(700));
    test.tell_product(new).await;
    test.send(&shop::product(1, now)).await;
    test.product(2).await;
    let shopper = test.shopper(7).with_pass(1, 1);
    let order = shopper.place("k", &[(1, 2)]).await;
    assert_eq!(shopper.show(order).await.total_price.0, 1_400);
}

#[tokio::test]
async fn orders_that_wait_together_fail_alone() {
    let test = TestOrder::start().await;
    test.product(1).await;
    test.product(2).await;
    let shoppers: Vec<_> = (1..=60).map(|user| test.shopper(user).with_pass(1, 1).with_pass(2, 1)).collect();
    let (one, both, other) = (order_of(&[(1, 1)]), order_of(&[(1, 1), (2, 1)]), order_of(&[(2, 2)]));
    // Each shopper: an order, the same one again, the same key with another body, and the same ticket under another key.
    let https: Vec<_> =
        shoppers.iter().flat_map(|shopper| [shopper.http.key("k"), shopper.http.key("l")]).collect();
    let asked = https.chunks(2).flat_map(|keys| {
        [post(&keys[0], &both), post(&keys[0], &both), post(&keys[0], &other), post(&keys[1], &one)]
    });
    let answers = join_all(asked).await;
    for answers in answers.chunks(4) {
        let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        let codes: Vec<_> = answers.iter().filter_map(|answer| answer.body["code"].as_str()).collect();
        statuses.sort_unstable();
        // Whoever came first has the ticket; the key that was refused its ticket is free for the next with that key.
        assert!(
            codes.iter().all(|code| ["idempotency-key-reused", "ticket-used"].contains(code)),
            "{codes:?}"
        );
        assert_eq!(statuses.iter().filter(|status| **status == 202).count() + codes.len(), 4);
        assert!(statuses[0] == 202, "{statuses:?}");
    }
    let twice: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT FROM order_ticket GROUP BY product_id, user_id, ticket HAVING count(*) > 1) AS t",
    )
    .fetch_one(&test.pg)
    .await
    .unwrap();
    assert_eq!(twice, 0);
    let (orders, keys) = (test.rows("orders").await, test.rows("idempotency").await);
    assert_eq!(orders, keys, "a key for each order and for nothing else");
    let strangers: i64 = sqlx::query_scalar("SELECT count(*) FROM order_ticket t WHERE NOT EXISTS (SELECT FROM orders o WHERE o.order_id = t.order_id)")
        .fetch_one(&test.pg)
        .await
        .unwrap();
    assert_eq!(strangers, 0, "no ticket is held for nothing");
    let incomplete: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT FROM order_line l WHERE l.order_id = o.order_id)
             OR (SELECT count(*) FROM order_hold h WHERE h.order_id = o.order_id)
                <> (SELECT count(*) FROM order_ticket t WHERE t.order_id = o.order_id)
             OR NOT EXISTS (SELECT FROM order_transition h WHERE h.order_id = o.order_id)",
    )
    .fetch_one(&test.pg)
    .await
    .unwrap();
    assert_eq!(incomplete, 0);
}

#[tokio::test]
async fn of_fifty_orders_at_once_with_one_access_token_one_lives() {
    let test = TestOrder::start().await;
    test.product(1).await;
    let shopper = test.shopper(7).with_pass(1, 1);
    let https: Vec<_> = (0..50).map(|n| shopper.http.key(&format!("k{n}"))).collect();
    let body = order_of(&[(1, 1)]);
    let answers = join_all(https.iter().map(|http| post(http, &body))).await;
    let (placed, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
    assert_eq!((placed.len(), refused.len()), (1, 49));
    for answer in refused {
        answer.problem(409, "ticket-used");
    }
    for table in ["orders", "order_line", "order_hold", "order_ticket", "order_transition", "idempotency"] {
        assert_eq!(test.rows(table).await, 1, "{table}");
    }
    let order = placed[0].body["orderId"].as_str().unwrap().parse().unwrap();
    assert_eq!(test.commands(order).await, ["stock.reserve.v1"]);
}

#[tokio::test]
async fn a_commit_is_shared_by_the_orders_that_wait_for_it() {
    let test = TestOrder::start().await;
    test.product(1).await;
    let shoppers: Vec<_> = (1..=200).map(|user| test.shopper(user).with_pass(1, 1).http.key("k")).collect();
    let body = order_of(&[(1, 1)]);
    for answer in join_all(shoppers.iter().map(|http| post(http, &body))).await {
        answer.expect(202);
    }
    assert_eq!(test.rows("orders").await, 200);
    let batches = test.figure("astraphe_order_place_batches_total").await;
    assert!(batches < 100.0, "200 orders took {batches} transactions");
}

#[tokio::test]
async fn an_order_that_waits_for_a_lock_does_not_hold_up_the_others() {
    let test = TestOrder::start().await;
    test.product(1).await;
    let mut holder = test.pg.begin().await.unwrap();
    sqlx::query("INSERT INTO order_ticket VALUES (1, 7, 1, gen_random_uuid())")
        .execute(&mut *holder)
        .await
        .unwrap();
    let (stuck, free) = (test.shopper(7).with_pass(1, 1), test.shopper(8).with_pass(1, 1));
    let (stuck, free) = (stuck.http.key("k"), free.http.key("k"));
    let body = order_of(&[(1, 1)]);
    let others = async {
        let began = std::time::Instant::now();
        post(&free, &body).await.expect(202);
        let took = began.elapsed();
        holder.rollback().await.unwrap();
        took
    };
    let (answer, took) = tokio::join!(post(&stuck, &body), others);
    answer.expect(202);
    assert!(took < Duration::from_millis(1_500), "waited {took:?} for somebody else's lock");
}

#[tokio::test]
async fn a_batch_that_loses_the_database_is_placed_once_when_it_is_repeated() {
    let server = testkit::servers().postgres.rsplit('@').next().unwrap().to_owned();
    let wire = Wire::to(&server).await.unwrap();
    let through = wire.address.to_string();
    let test = TestOrder::start_with(|config| {
        config.pg.database_url.0 = config.pg.database_url.0.replace(&server, &through);
    })
    .await;
    test.product(1).await;
    let shoppers: Vec<_> = (1..=60).map(|user| test.shopper(user).with_pass(1, 1).http.key("k")).collect();
    let body = order_of(&[(1, 1)]);
    // Every piece is held back, so that the cut falls into the batches.
    wire.delay(Duration::from_millis(20));
    let cut = async {
        testkit::eventually(SOON, async || {
            anyhow::ensure!(test.rows("orders").await > 0, "nothing is placed yet");
            Ok(())
        })
        .await;
        wire.cut();
    };
    let (answers, ()) = tokio::join!(join_all(shoppers.iter().map(|http| post(http, &body))), cut);
    let mut promised = 0;
    for answer in &answers {
        assert!([202, 503].contains(&answer.status), "{}", answer.body);
        promised += usize::from(answer.status == 202);
    }
    assert!(promised < shoppers.len(), "the cut came too late to say anything");
    wire.delay(Duration::ZERO);
    wire.restore();
    for (http, before) in shoppers.iter().zip(&answers) {
        let again = testkit::eventually(SOON, async || {
            let again = post(http, &body).await;
            anyhow::ensure!(again.status == 202, "{}", again.body);
            Ok(again)
        })
        .await;
        assert!(before.status == 503 || before.body == again.body, "{} {}", before.body, again.body);
    }
    assert_eq!((test.rows("orders").await, test.rows("order_ticket").await), (60, 60));
}
