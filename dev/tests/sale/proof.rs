//! `verify-orders`: passes over a shop that sold, and finds what was forged.

use std::process::Command;

use dev::stack::Stack;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::shop::{PATIENCE, Sale, Shop};

/// Runs the checker; returns whether it passed and the names of the rules that it found broken.
fn verify(stack: &Stack, options: &[&str]) -> (bool, Vec<String>) {
    let report = stack.logs().join("verify-orders.json");
    let output = Command::new(stack.program("loadtest"))
        .args(["verify-orders", "--stack"])
        .arg(stack.json_path())
        .arg("--json")
        .arg(&report)
        .args(options)
        .output()
        .expect("loadtest was built");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = std::fs::read_to_string(report).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let checks = report["checks"].as_array().expect("checks");
    let broken = checks.iter().filter(|check| check["broken"] != 0);
    let broken: Vec<_> = broken.map(|check| check["rule"].as_str().expect("a name").to_owned()).collect();
    assert_eq!(
        (output.status.success(), report["pass"] == true),
        (broken.is_empty(), broken.is_empty()),
        "{said}"
    );
    (broken.is_empty(), broken)
}

/// Breaks something in a database, sees it found, and repairs it.
async fn forged(stack: &Stack, service: &str, (forge, repair): (&str, &str)) -> Vec<String> {
    let url = stack.database(service).expect("it has one");
    let mut db = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(forge.to_owned())).execute(&mut db).await.unwrap();
    let (_, broken) = verify(stack, &["--lag-s", "1"]);
    sqlx::raw_sql(AssertSqlSafe(repair.to_owned())).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    broken
}

/// Buyers of every kind: paid, cancelled, given back, refused by the bank, too late.
async fn sell(shop: &Shop) {
    let product = shop.register(Sale { units: 4, ..Sale::default() }).await;
    let people: Vec<_> = (0..5).map(|_| shop.shopper()).collect();
    let mut passes = Vec::new();
    for shopper in &people {
        passes.push(shopper.admitted(product).await);
    }
    let mut orders = Vec::new();
    for (shopper, pass) in people.iter().zip(&passes) {
        orders.push(shopper.reserve(product, pass).await);
    }
    let states: Vec<_> = orders.iter().map(|order| order["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["reserved", "reserved", "reserved", "reserved", "rejected"]);
    let cancel = async |n: usize| {
        let path = format!("/api/orders/{}/cancel", orders[n]["orderId"].as_str().unwrap());
        people[n].http.key("c").post(&path, &serde_json::json!({})).await.unwrap().expect(200).body
    };
    // The provider takes the money and its answer is lost; it tells of the payment itself.
    let faults = async |drop_pct: u8| {
        let sandbox = testkit::client::Http::new(shop.stack.payment_sandbox());
        sandbox
            .put("/sandbox/faults", &serde_json::json!({ "dropPct": drop_pct }))
            .await
            .unwrap()
            .expect(200);
    };
    faults(100).await;
    assert_eq!(people[0].pay(&orders[0], "approve").await.expect(202).body["state"], "paying");
    faults(0).await;
    testkit::eventually(PATIENCE, async || {
        let path = format!("/api/orders/{}", orders[0]["orderId"].as_str().unwrap());
        let order = people[0].http.get(&path).await?.expect(200).body;
        anyhow::ensure!(order["state"] == "paid", "{order}");
        let metrics =
            testkit::http::Request::get(&format!("{}/metrics", shop.stack.urls("order")[0])).send()?;
        let taken = metrics
            .body
            .lines()
            .any(|line| line.starts_with("astraphe_order_webhooks_total{result=\"taken\"}"));
        anyhow::ensure!(taken, "no message of the provider was taken");
        Ok(())
    })
    .await;
    assert_eq!(people[1].pay(&orders[1], "approve").await.status, 200);
    assert_eq!(cancel(1).await["state"], "refunded");
    assert_eq!(people[2].pay(&orders[2], "decline").await.status, 402);
    assert_eq!(cancel(3).await["state"], "cancelled");
}

#[tokio::test]
async fn the_checker_passes_over_an_honest_shop_and_finds_what_was_forged() {
    let shop = Shop::open(dev::stack::Options { shoppers: 20, ..options() });
    sell(&shop).await;
    let stack = &shop.stack;
    assert_eq!(verify(stack, &[]), (true, Vec::new()));
    assert_eq!(verify(stack, &["--live", "--lag-s", "1"]), (true, Vec::new()));

    let unit = "UPDATE reservation SET state = 'released', reason = 'forged' WHERE state = 'confirmed'";
    let back = "UPDATE reservation SET state = 'confirmed' WHERE reason = 'forged'";
    let found = forged(stack, "product", (unit, back)).await;
    for rule in [
        "the reservations add up to the stock row",
        "orders and reservations say the same",
        "the log replayed gives the reservations",
    ] {
        assert!(found.iter().any(|broken| broken == rule), "{rule}: {found:?}");
    }
    let found = forged(
        stack,
        "order",
        (
            "UPDATE orders SET state = 'expired' WHERE state = 'paid'",
            "UPDATE orders SET state = 'paid' WHERE state = 'expired'",
        ),
    )
    .await;
    for rule in [
        "every transition is written down",
        "an order has one approved payment of its price exactly while it is paid",
        "orders and reservations say the same",
    ] {
        assert!(found.iter().any(|broken| broken == rule), "{rule}: {found:?}");
    }
    let found = forged(
        stack,
        "order",
        (
            "UPDATE payment_attempt SET amount = amount + 1 WHERE state = 'approved'",
            "UPDATE payment_attempt SET amount = amount - 1 WHERE state = 'approved'",
        ),
    )
    .await;
    assert!(found.iter().any(|broken| broken == "the provider keeps what the books say"), "{found:?}");
    // What was repaired is whole again.
    assert_eq!(verify(stack, &[]), (true, Vec::new()));
}

fn options() -> dev::stack::Options {
    dev::stack::Options::for_test("proof").expect("the test servers answer")
}
