use std::time::Duration;

use common::wire::event::{Outcome, StockCommand};
use common::wire::id::{OrderId, ProductId, UserId};
use common::wire::token::Role;
use serde_json::{Value, json};
use testkit::client::Http;
use testkit::eventually;

use crate::service::{PATIENCE, SELLER, Service};

const WISHES: usize = 600;
const CHANGES: i64 = 20;

/// What must hold of the tables at any moment: each names rows that break it.
const RULES: [(&str, &str); 6] = [
    ("units add up", "SELECT count(*) FROM stock WHERE available < 0 OR available + reserved + sold <> total"),
    (
        "reservations add up",
        "SELECT count(*) FROM stock s WHERE
             reserved <> (SELECT count(*) FROM reservation r WHERE r.product_id = s.product_id AND state = 'held')
             OR sold <> (SELECT count(*) FROM reservation r WHERE r.product_id = s.product_id AND state = 'confirmed')",
    ),
    (
        "the ledger adds up",
        "SELECT count(*) FROM stock s WHERE
             (total, available) <> (SELECT sum(total_delta), sum(available_delta) FROM stock_ledger l
                                    WHERE l.product_id = s.product_id)",
    ),
    (
        "the ledger has no gap",
        "SELECT count(*) FROM (
             SELECT available_after, sum(available_delta) OVER (PARTITION BY product_id ORDER BY ledger_id) AS balance
             FROM stock_ledger) AS chain WHERE available_after <> balance",
    ),
    (
        "nobody has more than the limit",
        "SELECT count(*) FROM (SELECT FROM reservation WHERE state IN ('held', 'confirmed')
                               GROUP BY product_id, user_id HAVING count(*) > 2) AS greedy",
    ),
    (
        "adjustments are what was added",
        "SELECT count(*) FROM stock s WHERE total <> 40 + (SELECT coalesce(sum(delta), 0) FROM stock_adjustment a
                                                           WHERE a.product_id = s.product_id AND NOT refused)",
    ),
];

async fn keeps_the_rules(service: &Service) {
    for (rule, broken) in RULES {
        assert_eq!(service.number(broken).await, 0, "{rule}");
    }
}

/// Adds and takes units, and moves the end of the sale, again and again.
async fn change(http: Http, service: &Service, product: ProductId, by: i64) {
    let path = format!("/api/products/{product}");
    let mut wish = service.wish(0, 0);
    for registration in ["companyId", "stock"] {
        wish.as_object_mut().unwrap().remove(registration);
    }
    for n in 0..CHANGES {
        let delta = if n % 2 == 0 { by } else { 1 - by };
        http.post(&format!("{path}/stock"), &json!({ "delta": delta })).await.unwrap().expect(202);
        wish["saleEndTime"] = json!(service.clock.now() + Duration::from_secs(3_600 + n.unsigned_abs()));
        http.put(&path, &wish).await.unwrap().expect(200);
    }
}

/// Wishes of people who ask for one unit up to three times; some are confirmed or released at once, and one record in
/// fifty is poison.
async fn shop(service: &Service, product: ProductId) -> Vec<OrderId> {
    let mut orders = Vec::new();
    let key = product.to_string();
    for part in 0..WISHES / 50 {
        let mut records: Vec<(String, Vec<u8>)> = vec![(key.clone(), b"poison".to_vec())];
        let mut command =
            |command: StockCommand| records.push((key.clone(), serde_json::to_vec(&command).unwrap()));
        for n in 0..50 {
            let (order, user) = (OrderId::new(), i64::try_from((part * 50 + n) % 200).unwrap());
            orders.push(order);
            let wish = service.reserve(product, order, user);
            command(wish.clone());
            let end = service.settle(product, order, user);
            match n % 5 {
                0 => command(StockCommand::Release(end)),
                1 => command(StockCommand::Confirm(end)),
                2 => command(wish),
                _ => {}
            }
        }
        service.send_raw(records).await;
    }
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sellers_changes_and_a_rush_at_once_keep_every_rule() {
    let service = Service::start().await;
    let product = service.product(40).await;
    let (owner, admin) = (service.seller(), service.login(UserId(1), Role::Admin));
    let watched = async {
        for _ in 0..10 {
            keeps_the_rules(&service).await;
        }
    };
    let (orders, ..) = tokio::join!(
        shop(&service, product),
        change(owner, &service, product, 5),
        change(admin, &service, product, -4),
        watched,
    );
    let changes = usize::try_from(CHANGES).unwrap() * 2;
    eventually(PATIENCE, async || {
        let adjusted = service.number("SELECT count(*) FROM stock_adjustment").await;
        anyhow::ensure!(usize::try_from(adjusted)? == changes, "{adjusted} adjustments");
        let version = service.number("SELECT version FROM stock").await;
        anyhow::ensure!(usize::try_from(version)? == changes + 1, "terms of version {version}");
        let dead = service.number("SELECT count(*) FROM dead_letter").await;
        anyhow::ensure!(usize::try_from(dead)? == WISHES / 50, "{dead} dead letters");
        anyhow::ensure!(service.number("SELECT count(*) FROM outbox").await == 0, "events wait");
        Ok(())
    })
    .await;
    keeps_the_rules(&service).await;
    let decided = service.decisions(product).unwrap();
    let answers: Vec<_> = decided.iter().flat_map(|record| &record.decisions).collect();
    // Every fifth wish is asked for twice.
    assert_eq!(answers.len(), WISHES + WISHES / 5);
    assert!(orders.iter().all(|order| answers.iter().any(|answer| answer.order_id == *order)));
    assert!(answers.iter().any(|answer| answer.result == Outcome::Reserved));
    assert!(answers.iter().any(|answer| answer.result == Outcome::Rejected));
    assert!(decided.windows(2).all(|pair| pair[0].last < pair[1].first));
    let by: Vec<(i64,)> = sqlx::query_as("SELECT DISTINCT created_by FROM stock_adjustment ORDER BY 1")
        .fetch_all(&service.pg)
        .await
        .unwrap();
    assert_eq!(by, [(1,), (SELLER.0,)]);
    let page: Value =
        service.seller().get(&format!("/api/products/{product}")).await.unwrap().expect(200).body;
    assert_eq!(page["stock"], service.number("SELECT available FROM stock").await);
}
