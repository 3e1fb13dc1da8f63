use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use common::stop::Stop;
use common::wire::event::PRODUCT_EVENTS;
use common::wire::id::{ProductId, UserId};
use common::wire::token::Role;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::{Answer, Http};
use testkit::eventually;
use tokio::net::TcpListener;

use crate::service::{PATIENCE, Service};

const HEAD: &str = "externalId,productName,originalPrice,discountedPrice,stock,categoryCode,saleStartTime,saleEndTime,\
                    saleZone,productOptions\n";

/// A file of so many good rows.
fn file(rows: usize) -> String {
    let mut file = HEAD.to_owned();
    for row in 1..=rows {
        writeln!(
            file,
            "sku-{row},\"lamp, \"\"{row}\"\"\",1000,900,5,1000,2031-06-02T10:00,2031-06-03T10:00,Asia/Seoul,\
             \"[{{\"\"optionName\"\":\"\"colour\"\",\"\"optionValue\"\":\"\"red\"\",\"\"optionPrice\"\":0}}]\""
        )
        .unwrap();
    }
    file
}

async fn send(http: &Http, company: i64, file: impl Into<reqwest::Body>) -> Answer {
    let request = http.request(Method::POST, &format!("/api/products/import?companyId={company}"));
    Http::send("import".into(), request.header("content-type", "text/csv").body(file)).await.unwrap()
}

/// The import when it is over.
async fn over(service: &Service, started: &Value) -> Value {
    let path = format!("/api/products/import/{}", started["importId"].as_str().unwrap());
    eventually(PATIENCE, async || {
        let now = service.seller().get(&path).await?;
        anyhow::ensure!(now.status == 200 && now.body["state"] != "running", "{}", now.body);
        Ok(now.body)
    })
    .await
}

fn counts(import: &Value) -> [i64; 4] {
    ["read", "stored", "known", "rejected"].map(|name| import[name].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_becomes_products_once_however_often_it_is_sent() {
    let service = Service::start().await;
    let company = service.company().await;
    let started = send(&service.seller(), company, file(600)).await.expect(202).body;
    assert_eq!(started["state"], "running");
    let done = over(&service, &started).await;
    assert_eq!((counts(&done), &done["state"]), ([600, 600, 0, 0], &json!("done")));
    let again = send(&service.seller(), company, file(602)).await.expect(202).body;
    assert_eq!(counts(&over(&service, &again).await), [602, 2, 600, 0]);
    assert_eq!(service.number("SELECT count(*) FROM product").await, 602);
    assert_eq!(service.number("SELECT count(*) FROM product_option").await, 602);

    // Found at once; told, with their terms, soon after.
    let found = service.anyone().get("/api/products?q=602").await.unwrap().expect(200).body;
    assert_eq!(found["items"][0]["productName"], "lamp, \"602\"");
    assert_eq!(found["items"][0]["saleStartTime"], "2031-06-02T01:00:00Z");
    let product = ProductId(found["items"][0]["productId"].as_i64().unwrap());
    // The stage has not heard of it yet, and takes two units away all the same.
    let stock = format!("/api/products/{product}/stock");
    service.seller().post(&stock, &json!({"delta": -2})).await.unwrap().expect(202);
    service.counts_are(product, [3, 3, 0, 0]).await;
    service.clock.advance(Duration::from_secs(1));
    let told = eventually(PATIENCE, async || {
        let told = service.told(PRODUCT_EVENTS, &product.to_string())?;
        anyhow::ensure!(!told.is_empty(), "not told yet");
        Ok(told)
    })
    .await;
    assert_eq!(
        (told.len(), &told[0]["state"], &told[0]["stateVersion"]),
        (1, &json!("scheduled"), &json!(1))
    );
    assert_eq!(told[0]["productOptions"][0]["optionValue"], "red");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_begins_before_all_imported_products_are_told() {
    let service = Service::start().await;
    let company = service.company().await;
    let mut wish = service.wish(company, 1);
    wish["saleStartTime"] = json!(service.clock.now() + Duration::from_secs(60));
    service.seller().post("/api/products", &wish).await.unwrap().expect(201);
    let started = send(&service.seller(), company, file(3_000)).await.expect(202).body;
    over(&service, &started).await;
    service.clock.advance(Duration::from_secs(60));
    let untold = "SELECT count(*) FROM product
                  WHERE state_version = 0 AND (SELECT state FROM product WHERE external_id IS NULL) = 'onSale'";
    eventually(PATIENCE, async || {
        anyhow::ensure!(service.number(untold).await > 0, "it has not begun, or all are told");
        Ok(())
    })
    .await;
    eventually(PATIENCE, async || {
        let left = service.number("SELECT count(*) FROM product WHERE state_version = 0").await;
        anyhow::ensure!(left == 0, "{left} are not told");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_named_and_the_good_ones_stored() {
    let service = Service::start().await;
    let company = service.company().await;
    let mut rows: Vec<String> = file(6).lines().skip(1).map(str::to_owned).collect();
    rows[1] = rows[1].replace("1000,900", "1000,1001");
    rows[2] = rows[2].replace(",5,1000,", ",5,77,");
    rows[3] = rows[3].replace("sku-4", "").replace("2031-06-03", "2031-06-01");
    rows[4] = rows[4].replace("sku-5", "sku-1");
    let key = "0".repeat(64);
    rows[5] += &format!(",\"[\"\"{key}\"\"]\"\n");
    let file = format!("{},images\n{}", HEAD.trim_end(), rows.join(",\n"));
    let started = send(&service.seller(), company, file).await.expect(202).body;
    let done = over(&service, &started).await;
    assert_eq!(counts(&done), [6, 1, 1, 4]);
    let rejected: Vec<_> = done["rejections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["row"].clone(), one["errors"][0]["field"].clone()))
        .collect();
    let named = [(2, "discountedPrice"), (3, "categoryCode"), (4, "externalId"), (6, "images[0]")];
    assert_eq!(rejected, named.map(|(row, field)| (json!(row), json!(field))));
    assert_eq!(done["rejections"][0]["externalId"], "sku-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_as_a_whole_leaves_no_trace() {
    let service = Service::start().await;
    let company = service.company().await;
    let seller = service.seller();
    let broken = [
        file(3).replacen("\"lamp", "\"la\"mp", 1),
        format!("{}sku-9,\"never closed\n", file(2)),
        file(2).replace("stock", "stocks"),
        HEAD.to_owned(),
        String::new(),
    ];
    for file in broken {
        let problem = send(&seller, company, file.clone()).await.problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], "body", "{file}");
    }
    send(&seller, company, vec![0xff_u8; 9]).await.problem(400, "validation-failed");
    let request = seller.request(Method::POST, "/api/products/import").header("content-type", "text/csv");
    let problem = Http::send("no company".into(), request.body(file(1))).await.unwrap();
    assert_eq!(problem.problem(400, "validation-failed")["errors"][0]["field"], "companyId");
    let request = seller.request(Method::POST, "/api/products/import").header("content-type", "text/plain");
    Http::send("text".into(), request.body(file(1))).await.unwrap().problem(415, "unsupported-media-type");
    let foreign = service.login(UserId(12), Role::Seller);
    send(&foreign, company, file(1)).await.problem(403, "forbidden");
    send(&service.login(UserId(12), Role::Customer), company, file(1)).await.problem(403, "forbidden");
    send(&seller, 999, file(1)).await.problem(404, "unknown-company");
    for table in
        ["SELECT count(*) FROM import", "SELECT count(*) FROM import_batch", "SELECT count(*) FROM product"]
    {
        assert_eq!(service.number(table).await, 0, "{table}");
    }
    let started = send(&seller, company, file(1)).await.expect(202).body;
    let path = format!("/api/products/import/{}", started["importId"].as_str().unwrap());
    foreign.get(&path).await.unwrap().problem(403, "forbidden");
    let none = "/api/products/import/01936d3e-0000-7000-8000-000000000000";
    seller.get(none).await.unwrap().problem(404, "unknown-import");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_process_is_gone_is_finished_by_another() {
    let mut service = Service::start().await;
    let company = service.company().await;
    let started = send(&service.seller(), company, file(5_000)).await.expect(202).body;
    eventually(PATIENCE, async || {
        let stored = service.number("SELECT stored FROM import").await;
        anyhow::ensure!(stored > 0, "nothing stored yet");
        Ok(())
    })
    .await;
    // Whatever it was about to commit is lost with its connections.
    service.wire.cut();
    let left = service.number("SELECT count(*) FROM import_batch").await;
    assert!(left > 0, "the import was over before its process was gone");
    service.stop_first().await;
    service.wire.restore();
    service.add_replica().await;
    let done = over(&service, &started).await;
    assert_eq!(counts(&done), [5_000, 5_000, 0, 0]);
    assert_eq!(service.number("SELECT count(DISTINCT external_id) FROM product").await, 5_000);
}

/// A supplier's API: three pages of two items; page 2 fails twice. Counts its answers.
async fn supplier(stop: &Stop, end: Value) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = {
        let asked = Arc::clone(&asked);
        move |Query(query): Query<Vec<(String, usize)>>| {
            let (page, end) = (query.first().map_or(1, |(_, page)| *page), end.clone());
            let count = asked.fetch_add(1, Ordering::Relaxed);
            async move { page_of(page, count, end) }
        }
    };
    stop.spawn(
        "supplier",
        common::http::serve(listener, Router::new().route("/goods", get(answer)), stop.clone()),
    );
    (address, asked)
}

fn page_of(page: usize, asked: usize, end: Value) -> Response {
    if page == 2 && asked < 3 {
        return http::StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let item = |n: usize| {
        json!({"externalId": format!("sku-{page}-{n}"), "productName": "lamp", "originalPrice": 1_000,
               "discountedPrice": 900, "stock": 5, "categoryCode": 1_000, "saleStartTime": "2031-06-02T10:00:00Z",
               "saleEndTime": "2031-06-03T10:00:00Z"})
    };
    let next = if page < 3 { json!(format!("/goods?page={}", page + 1)) } else { end };
    axum::Json(json!({"items": [item(1), item(2)], "next": next})).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_api_is_read_page_by_page() {
    let stop = Stop::new();
    let (address, asked) = supplier(&stop, Value::Null).await;
    let port = address.rsplit(':').next().unwrap();
    let service = Service::start_with(&[&format!("--import-hosts=supplier.example:{port}=127.0.0.1")]).await;
    let company = service.company().await;
    let wish = json!({"companyId": company, "url": format!("http://supplier.example:{port}/goods")});
    let started = service.seller().post("/api/products/import", &wish).await.unwrap().expect(202).body;
    let done = over(&service, &started).await;
    assert_eq!((counts(&done), &done["state"]), ([6, 6, 0, 0], &json!("done")));
    assert_eq!(asked.load(Ordering::Relaxed), 5, "three pages, and two failures");
    stop.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_import_leads_into_the_inner_network() {
    let stop = Stop::new();
    // Its last page leads somewhere else.
    let (address, asked) = supplier(&stop, json!("http://127.0.0.1:1/secret")).await;
    let port = address.rsplit(':').next().unwrap();
    let hosts = format!("--import-hosts=supplier.example:{port}=127.0.0.1,localhost:{port}");
    let service = Service::start_with(&[&hosts]).await;
    let company = service.company().await;
    let import = async |url: String| {
        let wish = json!({"companyId": company, "url": url});
        service.seller().post("/api/products/import", &wish).await.unwrap()
    };
    for url in
        [format!("http://{address}/goods"), "http://169.254.169.254/".into(), "file:///etc/passwd".into()]
    {
        let problem = import(url).await.problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], "url");
    }
    // Allowed by name, but the name leads here.
    let started = import(format!("http://localhost:{port}/goods")).await.expect(202).body;
    let failed = over(&service, &started).await;
    assert_eq!((counts(&failed), &failed["state"]), ([0, 0, 0, 0], &json!("failed")));
    assert!(failed["failure"].as_str().unwrap().contains("inner network"), "{failed}");
    assert_eq!(asked.load(Ordering::Relaxed), 0);

    let started = import(format!("http://supplier.example:{port}/goods")).await.expect(202).body;
    let failed = over(&service, &started).await;
    assert_eq!((counts(&failed), &failed["state"]), ([4, 4, 0, 0], &json!("failed")));
    assert!(failed["failure"].as_str().unwrap().contains("operator"), "{failed}");
    stop.stop();
}
