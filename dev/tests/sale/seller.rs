//! What a seller sees of a sale while shoppers buy.

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::client::Http;
use testkit::events::Events;
use testkit::eventually;

use crate::shop::{PATIENCE, Sale, Shop, shared};

/// Somebody else who sells.
async fn rival(shop: &Shop) -> Http {
    let login_id = uuid::Uuid::new_v4().simple().to_string()[..10].to_owned();
    let account = json!({
        "loginId": login_id, "password": "correct horse 1", "username": "Park", "nickname": "park",
        "phoneNumber": "010-1234-5678", "shippingAddress": "Busan", "role": "SELLER",
    });
    shop.visitor().post("/api/auth/signup", &account).await.unwrap().expect(201);
    let credentials = json!({"loginId": login_id, "password": "correct horse 1"});
    let login = shop.visitor().post("/api/auth/login", &credentials).await.unwrap().expect(200);
    shop.visitor().login(login.body["accessToken"].as_str().unwrap())
}

/// Whether the figures hold at least these.
fn says(figures: &Value, expected: &Value) -> bool {
    expected.as_object().unwrap().iter().all(|(name, value)| &figures[name] == value)
}

#[tokio::test]
async fn a_seller_sees_the_sale_as_it_runs_and_nobody_else_does() {
    let shop = shared();
    let seller = shop.login("seller").await;
    let queue = json!({"count": 2, "intervalS": 3_600, "admissionDelayS": 0});
    let product = shop.register(Sale { units: 3, queue, ..Sale::default() }).await;
    let (sale, stats) =
        (format!("/api/seller/products/{product}/sale"), format!("/api/queue/{product}/stats"));
    let mut live = Events::open(&seller, &format!("{sale}/live")).await;
    let first = live.next().await.unwrap();
    assert_eq!(first.event, "sale");
    let untouched = json!({
        "productId": product, "state": "onSale", "joined": 0, "letIn": 0, "waiting": 0, "inside": 0,
        "units": {"total": 3, "available": 3, "reserved": 0, "sold": 0},
    });
    assert_eq!(first.data, untouched, "nobody was let in, so there is no conversion");

    // Two are let in and order, of whom one pays; the third waits.
    let (payer, holder, third) = (shop.shopper(), shop.shopper(), shop.shopper());
    let (payers, holders) = (payer.admitted(product).await, holder.admitted(product).await);
    assert_eq!(third.join(product).await.expect(200).body["state"], "waiting");
    let order = payer.reserve(product, &payers).await;
    assert_eq!(payer.pay(&order, "approve").await.expect(200).body["state"], "paid");
    assert_eq!(holder.reserve(product, &holders).await["state"], "reserved");

    let end = json!({
        "joined": 3, "letIn": 2, "conversion": 1.0, "waiting": 1, "inside": 0,
        "units": {"total": 3, "available": 1, "reserved": 1, "sold": 1},
    });
    let mut seen = vec![first.data];
    while !says(seen.last().unwrap(), &end) {
        let told = live.next().await.unwrap();
        assert_eq!(told.event, "sale");
        assert_ne!(seen.last(), Some(&told.data), "an event says something new");
        seen.push(told.data);
    }
    for (name, figure) in [("joined", "/joined"), ("letIn", "/letIn"), ("sold", "/units/sold")] {
        let figures: Vec<_> = seen.iter().map(|one| one.pointer(figure).and_then(Value::as_i64)).collect();
        assert!(figures.is_sorted(), "{name} never falls: {figures:?}");
    }
    let asked = eventually(PATIENCE, async || {
        let now = seller.get(&sale).await?;
        ensure!(says(&now.body, &end), "{}", now.body);
        Ok(now.body)
    });
    assert_eq!(&asked.await, seen.last().unwrap(), "both say the same");
    let room = seller.get(&stats).await.unwrap().expect(200).body;
    let line = json!({"productId": product, "waiting": 1, "admitted": 0, "available": 1});
    assert!(says(&room, &line), "{room}");
    let results = seller.get(&format!("{sale}/results.csv")).await.unwrap().expect(200);
    let table = results.body.as_str().unwrap();
    let sold = |line: &str| line.split(',').nth(3).unwrap().parse::<i64>().unwrap();
    assert_eq!(table.lines().skip(1).map(sold).sum::<i64>(), 1, "{table}");

    let (rival, shopper) = (rival(shop).await, shop.shopper().http);
    for path in [&sale, &stats, &format!("{sale}/results.csv"), &format!("{sale}/live")] {
        rival.get(path).await.unwrap().problem(403, "forbidden");
        shopper.get(path).await.unwrap().problem(403, "forbidden");
        shop.visitor().get(path).await.unwrap().problem(401, "login-required");
    }
    let own = rival.get("/api/seller/products").await.unwrap().expect(200).body;
    assert_eq!(own["items"], json!([]), "of others' products there is nothing in the list");
}
