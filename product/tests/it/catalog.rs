use std::time::Duration;

use common::wire::event::{PRODUCT_EVENTS, STOCK_COMMANDS};
use common::wire::id::{ProductId, UserId};
use common::wire::product::ProductSnapshot;
use common::wire::token::Role;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::Http;
use testkit::eventually;

use crate::service::{PATIENCE, SELLER, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_product_is_shown_listed_and_told() {
    let service = Service::start().await;
    let company = service.company().await;
    let made =
        service.seller().post("/api/products", &service.wish(company, 5)).await.unwrap().expect(201).body;
    assert_eq!(
        (&made["state"], &made["stock"], &made["purchaseLimit"]),
        (&json!("onSale"), &json!(5), &json!(2))
    );
    assert_eq!(made["queue"]["count"], 50);
    assert_eq!(made["queue"]["admissionDelayS"], 60);
    assert!(made["productOptions"][0]["optionId"].is_i64());
    let id = made["productId"].as_i64().unwrap();

    let summary =
        service.anyone().get(&format!("/api/products/{id}/summary")).await.unwrap().expect(200).body;
    assert_eq!(summary["companyName"], "Lumen");
    for secret in ["stock", "productOptions", "description", "queue"] {
        assert!(summary.get(secret).is_none(), "{secret} is public");
    }
    let list = service.anyone().get("/api/products").await.unwrap().expect(200).body;
    assert_eq!((&list["items"][0], &list["total"]), (&summary, &json!(1)));

    let told = eventually(PATIENCE, async || {
        let told = service.told(PRODUCT_EVENTS, &id.to_string())?;
        anyhow::ensure!(!told.is_empty(), "no snapshot yet");
        Ok(told)
    })
    .await;
    let snapshot =
        service.inside().get(&format!("/internal/products/{id}/snapshot")).await.unwrap().expect(200);
    let told: ProductSnapshot = serde_json::from_value(told[0].clone()).unwrap();
    assert_eq!(told, snapshot.body());
    assert_eq!((told.version, told.price_version, told.seller_id), (1, 1, SELLER));
    service.counts_are(ProductId(id), [5, 5, 0, 0]).await;
    let decided = eventually(PATIENCE, async || {
        let decided = service.decisions(ProductId(id))?;
        anyhow::ensure!(!decided.is_empty(), "nothing decided yet");
        Ok(decided)
    })
    .await;
    assert_eq!((decided[0].available, decided[0].total, decided[0].decisions.len()), (5, 5, 0));

    let categories = service.anyone().get("/api/categories").await.unwrap().expect(200).body;
    let codes: Vec<_> = categories.as_array().unwrap().iter().map(|c| c["categoryCode"].clone()).collect();
    assert_eq!(codes, [1_000, 2_000, 3_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_products_name_their_field_and_leave_no_trace() {
    let service = Service::start().await;
    let good = service.wish(service.company().await, 5);
    let seller = service.seller();
    let now = service.clock.now();
    let option = |name: &str, value: Value| {
        let mut option = json!({"optionName": "colour", "optionValue": "red", "optionPrice": 0});
        option[name] = value;
        json!([option])
    };
    let table = [
        ("companyId", Value::Null, "companyId"),
        ("productName", json!(""), "productName"),
        ("productName", json!("a".repeat(51)), "productName"),
        ("productName", json!("a\u{0}"), "productName"),
        ("productName", json!(["lamp"]), "productName"),
        ("description", json!("a".repeat(1_001)), "description"),
        ("originalPrice", json!(10_000_000_001_i64), "originalPrice"),
        ("originalPrice", json!(899), "discountedPrice"),
        ("originalPrice", json!(1_000.5), "originalPrice"),
        ("discountedPrice", json!(0), "discountedPrice"),
        ("discountedPrice", json!(-900), "discountedPrice"),
        ("stock", json!(-1), "stock"),
        ("stock", json!(10_000_001), "stock"),
        ("stock", json!("5"), "stock"),
        ("productOptions", option("optionName", json!("a".repeat(21))), "productOptions[0].optionName"),
        ("productOptions", option("optionValue", json!("")), "productOptions[0].optionValue"),
        ("productOptions", option("optionPrice", json!(-900)), "productOptions[0].optionPrice"),
        ("productOptions", option("optionPrice", json!("1")), "productOptions[0].optionPrice"),
        ("productOptions", json!(vec![option("optionPrice", json!(0))[0].clone(); 51]), "productOptions"),
        ("categoryCode", json!("food"), "categoryCode"),
        ("saleStartTime", json!("tomorrow"), "saleStartTime"),
        ("saleStartTime", json!(now + Duration::from_secs(7_200)), "saleEndTime"),
        ("saleEndTime", json!(now), "saleEndTime"),
        ("saleEndTime", json!("+262000-01-01T00:00:00Z"), "saleEndTime"),
        ("purchaseLimit", json!(0), "purchaseLimit"),
        ("purchaseLimit", json!(101), "purchaseLimit"),
        ("images", json!([""]), "images[0]"),
        ("queue", json!({"count": 0}), "queue.count"),
        ("queue", json!({"intervalS": 3_601}), "queue.intervalS"),
        ("queue", json!({"admissionDelayS": -1}), "queue.admissionDelayS"),
        ("queue", json!({"stockGate": 0.05}), "queue.stockGate"),
        ("queue", json!({"rejoin": "front"}), "queue.rejoin"),
    ];
    for (name, value, field) in table {
        let mut wish = good.clone();
        wish[name] = value.clone();
        let problem = seller.post("/api/products", &wish).await.unwrap().problem(400, "validation-failed");
        let errors = problem["errors"].as_array().unwrap();
        assert!(errors.iter().any(|error| error["field"] == field), "{name} {value}: {problem}");
    }
    assert_nothing_is_kept(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn products_that_nobody_may_register_leave_no_trace() {
    let service = Service::start().await;
    let good = service.wish(service.company().await, 5);
    let seller = service.seller();
    let mut unknown = good.clone();
    unknown["price"] = json!(1);
    seller.post("/api/products", &unknown).await.unwrap().problem(400, "validation-failed");
    let malformed = seller.request(Method::POST, "/api/products").body("{\"companyId\": ");
    Http::send("malformed".into(), malformed).await.unwrap().problem(400, "malformed-json");
    let large = seller.request(Method::POST, "/api/products").body("a".repeat(1 << 20 | 1));
    Http::send("large".into(), large).await.unwrap().problem(413, "body-too-large");

    for (name, value, code) in
        [("companyId", json!(999), "unknown-company"), ("categoryCode", json!(1), "unknown-category")]
    {
        let mut wish = good.clone();
        wish[name] = value;
        seller.post("/api/products", &wish).await.unwrap().problem(404, code);
    }
    service
        .login(UserId(12), Role::Seller)
        .post("/api/products", &good)
        .await
        .unwrap()
        .problem(403, "forbidden");
    service
        .login(SELLER, Role::Customer)
        .post("/api/products", &good)
        .await
        .unwrap()
        .problem(403, "forbidden");
    service.anyone().post("/api/products", &good).await.unwrap().problem(401, "login-required");

    assert_nothing_is_kept(&service).await;
    // One good registration is the first thing that the log ever gets.
    let made = seller.post("/api/products", &good).await.unwrap().expect(201).body;
    service.counts_are(ProductId(made["productId"].as_i64().unwrap()), [5, 5, 0, 0]).await;
    assert_eq!(service.number("SELECT sum(next_offset)::bigint FROM stock_cursor").await, 1);
}

async fn assert_nothing_is_kept(service: &Service) {
    for table in [
        "SELECT count(*) FROM product",
        "SELECT count(*) FROM product_option",
        "SELECT count(*) FROM stock",
        "SELECT count(*) FROM outbox",
    ] {
        assert_eq!(service.number(table).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_product_page_needs_a_right_to_exactly_this_product() {
    let service = Service::start().await;
    let (product, other) = (service.product(5).await, service.product(5).await);
    let path = format!("/api/products/{product}");
    service.anyone().get(&path).await.unwrap().problem(401, "login-required");
    let shopper = UserId(70);
    let without = service.login(shopper, Role::Customer);
    without.get(&path).await.unwrap().problem(403, "access-token-required");
    service.admitted(shopper, other).get(&path).await.unwrap().problem(403, "access-token-required");
    service.login(UserId(12), Role::Seller).get(&path).await.unwrap().problem(403, "access-token-required");
    without.pass("forged").get(&path).await.unwrap().problem(403, "invalid-access-token");
    let page = service.admitted(shopper, product).get(&path).await.unwrap().expect(200).body;
    assert_eq!((&page["stock"], &page["description"]), (&json!(5), &json!("bright")));
    assert_eq!(service.seller().get(&path).await.unwrap().status, 200);
    assert_eq!(service.login(UserId(1), Role::Admin).get(&path).await.unwrap().status, 200);
    service.seller().get("/api/products/999").await.unwrap().problem(404, "unknown-product");

    let snapshot = format!("/internal/products/{product}/snapshot");
    service.login(UserId(1), Role::Admin).get(&snapshot).await.unwrap().problem(403, "forbidden");
    service.inside().get("/internal/products/999/snapshot").await.unwrap().problem(404, "unknown-product");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_seller_changes_nothing() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let foreign = service.login(UserId(12), Role::Seller);
    let path = format!("/api/products/{product}");
    let change = later(&service);
    foreign.put(&path, &change).await.unwrap().problem(403, "forbidden");
    foreign.delete(&path).await.unwrap().problem(403, "forbidden");
    let stock = format!("{path}/stock");
    foreign.post(&stock, &json!({"delta": 1})).await.unwrap().problem(403, "forbidden");
    service.seller().put("/api/products/999", &change).await.unwrap().problem(404, "unknown-product");
    assert_eq!(service.number("SELECT version FROM product").await, 1);
}

/// What a change says that changes nothing.
fn later(service: &Service) -> Value {
    let mut wish = service.wish(0, 0);
    for registration in ["companyId", "stock"] {
        wish.as_object_mut().unwrap().remove(registration);
    }
    wish
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_sale_changes_its_texts_but_not_its_price() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let path = format!("/api/products/{product}");
    let mut wish = later(&service);
    wish["discountedPrice"] = json!(800);
    wish["purchaseLimit"] = json!(9);
    let problem = service.seller().put(&path, &wish).await.unwrap().problem(409, "sale-started");
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
    assert_eq!(fields, ["discountedPrice", "purchaseLimit"]);
    let mut stock = later(&service);
    stock["stock"] = json!(50);
    let problem = service.seller().put(&path, &stock).await.unwrap().problem(400, "validation-failed");
    assert_eq!(problem["errors"][0]["field"], "stock");

    let mut wish = later(&service);
    wish["productName"] = json!("lamp, new");
    wish["saleEndTime"] = json!(service.clock.now() + Duration::from_secs(60));
    wish["queue"] = json!({"count": 9});
    let changed = service.seller().put(&path, &wish).await.unwrap().expect(200).body;
    assert_eq!((&changed["productName"], &changed["queue"]["count"]), (&json!("lamp, new"), &json!(9)));
    eventually(PATIENCE, async || {
        let told = service.told(PRODUCT_EVENTS, &product.to_string())?;
        let last = told.last().cloned().unwrap_or_default();
        anyhow::ensure!(last["version"] == 2 && last["priceVersion"] == 1, "{last}");
        let row: (i64, i32) =
            sqlx::query_as("SELECT version, purchase_limit FROM stock").fetch_one(&service.pg).await?;
        anyhow::ensure!(row == (2, 2), "{row:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_start_prices_and_options_change_with_their_version() {
    let service = Service::start().await;
    let mut wish = service.wish(service.company().await, 5);
    wish["saleStartTime"] = json!(service.clock.now() + Duration::from_secs(60));
    let made = service.seller().post("/api/products", &wish).await.unwrap().expect(201).body;
    assert_eq!(made["state"], "scheduled");
    let path = format!("/api/products/{}", made["productId"]);
    let mut change = wish.clone();
    for registration in ["companyId", "stock"] {
        change.as_object_mut().unwrap().remove(registration);
    }
    change["productOptions"] = json!([{"optionName": "size", "optionValue": "L", "optionPrice": 50}]);
    change["categoryCode"] = json!(2_000);
    change.as_object_mut().unwrap().remove("queue");
    let changed = service.seller().put(&path, &change).await.unwrap().expect(200).body;
    assert_eq!(changed["productOptions"][0]["optionName"], "size");
    assert_ne!(changed["productOptions"][0]["optionId"], made["productOptions"][0]["optionId"]);
    assert_eq!(changed["queue"], made["queue"]);
    assert_eq!(service.number("SELECT price_version FROM product").await, 2);
    let withdrawn = "SELECT count(*) FROM product_option WHERE deleted_at IS NOT NULL AND deleted_by = 11";
    assert_eq!(service.number(withdrawn).await, 1);
    change["categoryCode"] = json!(7);
    service.seller().put(&path, &change).await.unwrap().problem(404, "unknown-category");
    service.clock.advance(Duration::from_secs(60));
    let summary = service.anyone().get(&format!("{path}/summary")).await.unwrap().expect(200).body;
    assert_eq!(summary["state"], "onSale");
    service.clock.advance(Duration::from_secs(3_600));
    let summary = service.anyone().get(&format!("{path}/summary")).await.unwrap().expect(200).body;
    assert_eq!(summary["state"], "ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_product_is_gone_its_sale_closed_and_told() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let path = format!("/api/products/{product}");
    assert_eq!(service.seller().delete(&path).await.unwrap().status, 204);
    service.seller().get(&path).await.unwrap().problem(404, "unknown-product");
    service.seller().delete(&path).await.unwrap().problem(404, "unknown-product");
    service.anyone().get(&format!("{path}/summary")).await.unwrap().problem(404, "unknown-product");
    let list = service.anyone().get("/api/products").await.unwrap().expect(200).body;
    assert_eq!(list["total"], 0);
    let inside = service.inside().get(&format!("/internal/products/{product}/snapshot")).await.unwrap();
    assert_eq!(inside.expect(200).body["deleted"], true);
    eventually(PATIENCE, async || {
        let told = service.told(PRODUCT_EVENTS, &product.to_string())?;
        anyhow::ensure!(told.last().is_some_and(|last| last["deleted"] == true), "{told:?}");
        let commands = service.told(STOCK_COMMANDS, &product.to_string())?;
        anyhow::ensure!(commands.len() == 2, "{commands:?}");
        anyhow::ensure!(commands[1]["closesAt"] == json!(service.clock.now()), "{}", commands[1]);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_filters_sorts_and_pages() {
    let service = Service::start().await;
    let company = service.company().await;
    for (name, price, category) in
        [("red lamp", 500, 1_000), ("Blue LAMP", 300, 2_000), ("chair", 400, 1_000)]
    {
        let mut wish = service.wish(company, 1);
        wish["productName"] = json!(name);
        wish["discountedPrice"] = json!(price);
        wish["categoryCode"] = json!(category);
        assert_eq!(service.seller().post("/api/products", &wish).await.unwrap().status, 201);
    }
    let anyone = service.anyone();
    let names = async |query: &str| -> (Vec<String>, i64) {
        let list = anyone.get(&format!("/api/products{query}")).await.unwrap().expect(200).body;
        let items = list["items"].as_array().unwrap();
        let names = items.iter().map(|item| item["productName"].as_str().unwrap().to_owned());
        (names.collect(), list["total"].as_i64().unwrap())
    };
    assert_eq!(names("?sort=discountedPrice").await.0, ["Blue LAMP", "chair", "red lamp"]);
    assert_eq!(names("?sort=discountedPrice,desc&size=1&page=2").await, (vec!["chair".to_owned()], 3));
    assert_eq!(names("?productName=lamp").await.1, 2);
    assert_eq!(names("?categoryCode=1000&productName=LA").await.0, ["red lamp"]);
    assert_eq!(names(&format!("?companyId={}", company + 1)).await.1, 0);
    assert_eq!(names("?page=9").await, (Vec::new(), 3));
    for (query, field) in [
        ("?size=101", "size"),
        ("?page=0", "page"),
        ("?sort=name", "sort"),
        ("?productName=%00", "productName"),
    ] {
        let answer = anyone.get(&format!("/api/products{query}")).await.unwrap();
        assert_eq!(answer.problem(400, "validation-failed")["errors"][0]["field"], field);
    }
}
