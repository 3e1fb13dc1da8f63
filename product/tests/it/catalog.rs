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
async fn a_lost_update_is_refused_and_changes_nothing() {
    let service = Service::start().await;
    let company = service.company().await;
    let product = service.product(5).await;
    for (path, mut change, field) in [
        (format!("/api/products/{product}"), later(&service), "productName"),
        (
            format!("/api/companies/{company}"),
            json!({"companyName": "Lumen", "address": "Busan"}),
            "companyName",
        ),
    ] {
        let seen = service.seller().get(&path).await.unwrap().expect(200);
        let tag = seen.headers["etag"].to_str().unwrap().to_owned();
        let holder = service.seller().with("if-match", &tag);
        change[field] = json!("first");
        let made = holder.put(&path, &change).await.unwrap().expect(200);
        assert_ne!(made.headers["etag"], tag.as_str());
        change[field] = json!("second");
        holder.put(&path, &change).await.unwrap().problem(412, "outdated");
        holder.delete(&path).await.unwrap().problem(412, "outdated");
        let now = service.seller().get(&path).await.unwrap().expect(200);
        assert_eq!((&now.body[field], &now.headers["etag"]), (&json!("first"), &made.headers["etag"]));
        let bare = service.seller().with("if-match", "1").put(&path, &change).await.unwrap();
        assert_eq!(bare.problem(400, "validation-failed")["errors"][0]["field"], "If-Match");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_change_the_same_version_do_not_both_succeed() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let path = format!("/api/products/{product}");
    let change = later(&service);
    let holder = service.seller().with("if-match", "\"1\"");
    let all = futures::future::join_all((0..8).map(|_| holder.put(&path, &change))).await;
    let made = all.into_iter().filter(|answer| answer.as_ref().unwrap().status == 200).count();
    assert_eq!((made, service.number("SELECT version FROM product").await), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_of_a_draft_until_it_is_published() {
    let service = Service::start().await;
    let company = service.company().await;
    let mut wish = service.wish(company, 5);
    wish["draft"] = json!(true);
    let made = service.seller().post("/api/products", &wish).await.unwrap().expect(201).body;
    assert_eq!(made["state"], "draft");
    let id = ProductId(made["productId"].as_i64().unwrap());
    let path = format!("/api/products/{id}");
    service.anyone().get(&format!("{path}/summary")).await.unwrap().problem(404, "unknown-product");
    service.login(UserId(12), Role::Seller).get(&path).await.unwrap().problem(404, "unknown-product");
    service
        .inside()
        .get(&format!("/internal{}/snapshot", &path[4..]))
        .await
        .unwrap()
        .problem(404, "unknown-product");
    let list = service.anyone().get("/api/products").await.unwrap().expect(200).body;
    assert_eq!(list["total"], 0);
    let adjust = service.seller().post(&format!("{path}/stock"), &json!({"delta": 1})).await.unwrap();
    adjust.problem(409, "product-is-draft");

    let mut change = later(&service);
    change["stock"] = json!(7);
    change["discountedPrice"] = json!(800);
    assert_eq!(service.seller().put(&path, &change).await.unwrap().expect(200).body["stock"], 7);
    assert_eq!(service.number("SELECT count(*) FROM outbox").await, 0);
    let mut publish = later(&service);
    publish["draft"] = json!(false);
    let published = service.seller().put(&path, &publish).await.unwrap().expect(200).body;
    assert_eq!(published["state"], "onSale");
    service.counts_are(id, [7, 7, 0, 0]).await;
    let mut back = later(&service);
    back["draft"] = json!(true);
    let problem = service.seller().put(&path, &back).await.unwrap().problem(400, "validation-failed");
    assert_eq!(problem["errors"][0]["field"], "draft");
    let told = service.told(PRODUCT_EVENTS, &id.to_string()).unwrap();
    assert!(told.iter().all(|snapshot| snapshot["state"] == "onSale"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_entered_in_the_sellers_zone() {
    let service = Service::start().await;
    let mut wish = service.wish(service.company().await, 5);
    wish["saleZone"] = json!("America/New_York");
    wish["saleStartTime"] = json!("2031-06-02T10:00");
    wish["saleEndTime"] = json!("2031-12-02T10:00");
    let made = service.seller().post("/api/products", &wish).await.unwrap().expect(201).body;
    assert_eq!(
        (&made["saleStartTime"], &made["saleEndTime"], &made["saleZone"]),
        (&json!("2031-06-02T14:00:00Z"), &json!("2031-12-02T15:00:00Z"), &json!("America/New_York"))
    );
    for (local, rule, choices) in [
        ("2031-03-09T02:30", "does not exist", ["2031-03-09T03:30:00-04:00", "2031-03-09T01:30:00-05:00"]),
        ("2031-11-02T01:30", "exists twice", ["2031-11-02T01:30:00-04:00", "2031-11-02T01:30:00-05:00"]),
    ] {
        wish["saleStartTime"] = json!(local);
        let problem =
            service.seller().post("/api/products", &wish).await.unwrap().problem(400, "validation-failed");
        let error = &problem["errors"][0];
        assert_eq!(error["field"], "saleStartTime");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(rule) && choices.iter().all(|choice| message.contains(choice)), "{message}");
        wish["saleStartTime"] = json!(choices[1]);
        service.seller().post("/api/products", &wish).await.unwrap().expect(201);
    }
    wish["saleZone"] = json!("Atlantis");
    let problem =
        service.seller().post("/api/products", &wish).await.unwrap().problem(400, "validation-failed");
    assert_eq!(problem["errors"][0]["field"], "saleZone");
    assert_eq!(service.number("SELECT count(*) FROM product").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_may_be_of_any_script_but_not_of_any_length() {
    let service = Service::start().await;
    let mut wish = service.wish(service.company().await, 5);
    for name in ["😀🛍️", "مصباح أحمر", "램프 (빨강)", "e\u{301}toile"] {
        wish["productName"] = json!(name);
        let made = service.seller().post("/api/products", &wish).await.unwrap().expect(201).body;
        assert_eq!(made["productName"], name);
    }
    for (field, value) in [
        ("productName", json!("a".repeat(10_000))),
        ("originalPrice", json!(-1)),
        ("originalPrice", json!(9_223_372_036_854_775_808_u64)),
        ("discountedPrice", json!(9_223_372_036_854_775_808_u64)),
    ] {
        let mut bad = wish.clone();
        bad[field] = value;
        let problem =
            service.seller().post("/api/products", &bad).await.unwrap().problem(400, "validation-failed");
        let errors = problem["errors"].as_array().unwrap();
        assert!(errors.iter().any(|error| error["field"] == field), "{field}: {problem}");
    }
    assert_eq!(service.number("SELECT count(*) FROM product").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_at_one_replica_drops_the_page_that_another_keeps() {
    let mut service = Service::start_as(&[], |config| config.pages_kept = Duration::from_secs(3_600)).await;
    service.add_replica().await;
    let product = service.product(5).await;
    let (page, summary) = (format!("/api/products/{product}"), format!("/api/products/{product}/summary"));
    let name = async |http: &Http| http.get(&summary).await.unwrap().expect(200).body["productName"].clone();
    let (here, there) = (service.anyone(), service.other());
    assert_eq!((name(&here).await, name(&there).await), (json!("lamp"), json!("lamp")));
    // A page that nothing drops stays: by the database alone nobody hears of it.
    sqlx::query("UPDATE product SET product_name = 'unheard'").execute(&service.pg).await.unwrap();
    assert_eq!((name(&here).await, name(&there).await), (json!("lamp"), json!("lamp")));

    let mut change = later(&service);
    change["productName"] = json!("brighter lamp");
    service.seller().put(&page, &change).await.unwrap().expect(200);
    assert_eq!(name(&here).await, "brighter lamp", "the replica that changed it knows at once");
    eventually(PATIENCE, async || {
        let seen = name(&there).await;
        anyhow::ensure!(seen == "brighter lamp", "{seen}");
        Ok(())
    })
    .await;
    service.seller().delete(&page).await.unwrap().expect(204);
    eventually(PATIENCE, async || {
        let seen = there.get(&summary).await?;
        anyhow::ensure!(seen.status == 404, "{}", seen.body);
        Ok(())
    })
    .await;
}
