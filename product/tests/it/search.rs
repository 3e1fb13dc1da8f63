use std::collections::BTreeSet;
use std::time::Duration;

use common::clock::Clock;
use common::wire::id::{CompanyId, ProductId, UserId};
use common::wire::product::SaleState;
use common::wire::token::Role;
use product::search::store::{Look, counting, pool, selection};
use product::search::{Cursor, Filter, Part, Sort};
use serde_json::{Value, json};
use sqlx::{Execute as _, PgPool, Postgres, QueryBuilder, Row as _};
use testkit::client::Http;
use testkit::eventually;

use crate::service::{PATIENCE, Service};

/// Registers products of these names, prices and categories.
async fn shop(service: &Service, goods: &[(&str, i64, i32)]) {
    let company = service.company().await;
    for (name, price, category) in goods {
        let mut wish = service.wish(company, 1);
        wish["productName"] = json!(name);
        wish["discountedPrice"] = json!(price);
        wish["categoryCode"] = json!(category);
        wish["productOptions"] = json!([]);
        service.seller().post("/api/products", &wish).await.unwrap().expect(201);
    }
}

async fn search(http: &Http, query: &[(&str, &str)]) -> Value {
    let request = http.request(reqwest::Method::GET, "/api/products").query(query);
    Http::send(format!("{query:?}"), request).await.unwrap().expect(200).body
}

async fn names(http: &Http, query: &[(&str, &str)]) -> Vec<String> {
    let found = search(http, query).await;
    let items = found["items"].as_array().unwrap();
    items.iter().map(|item| item["productName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_found_by_prefix_in_both_languages_and_with_typos() {
    let service = Service::start().await;
    let goods = [
        ("무선이어폰 Pro", 500, 1_000),
        ("빨간 램프", 300, 1_000),
        ("Red LAMP-shade", 400, 1_000),
        ("Café Étoile 😀", 400, 1_000),
        ("clamp", 100, 1_000),
        ("headphones X100", 100, 1_000),
    ];
    shop(&service, &goods).await;
    let anyone = service.anyone();
    for (words, expected) in [
        // A prefix of a word, in any case; not the middle of one.
        ("lam", vec!["Red LAMP-shade"]),
        ("shade red", vec!["Red LAMP-shade"]),
        ("cafe ETOILE", vec!["Café Étoile 😀"]),
        ("x10", vec!["headphones X100"]),
        ("x", vec!["headphones X100"]),
        // Korean words are written together, and found while a syllable is being typed.
        ("이어폰", vec!["무선이어폰 Pro"]),
        ("무선 pro", vec!["무선이어폰 Pro"]),
        ("래", vec!["빨간 램프"]),
        ("램프", vec!["빨간 램프"]),
        // One wrong letter.
        ("headphonse", vec!["headphones X100"]),
        ("렘프", vec!["빨간 램프"]),
        ("lanp red", vec!["Red LAMP-shade"]),
        // Neither letter nor digit, and what a pattern would mean.
        ("😀", vec![]),
        ("%", vec![]),
        ("x%0", vec![]),
        ("nothing alike", vec![]),
    ] {
        assert_eq!(names(&anyone, &[("q", words)]).await, expected, "{words}");
    }
    let meant = search(&anyone, &[("q", "램포"), ("size", "5")]).await;
    assert_eq!((&meant["meant"], &meant["total"]), (&json!("램프"), &json!(1)));
    assert!(search(&anyone, &[("q", "램프"), ("size", "5")]).await.get("meant").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_orders_are_those_that_were_asked_for() {
    let service = Service::start().await;
    let admin = service.login(UserId(1), Role::Admin);
    let lamps = json!({"categoryCode": 2_100, "categoryName": "lamps", "parentCode": 2_000});
    admin.post("/api/categories", &lamps).await.unwrap().expect(201);
    let goods = [("a", 500, 1_000), ("b", 300, 2_000), ("c", 400, 2_100), ("d", 200, 3_000)];
    shop(&service, &goods).await;
    sqlx::query("UPDATE product SET likes = ascii(product_name) % 3").execute(&service.pg).await.unwrap();
    let company = service.number("SELECT min(company_id) FROM company").await.to_string();
    let anyone = service.anyone();
    for (query, expected) in [
        (vec![], "dcba"),
        (vec![("sort", "priceUp")], "dbca"),
        (vec![("sort", "priceDown")], "acbd"),
        (vec![("sort", "updated")], "dcba"),
        // 97 % 3 = 1, 98 % 3 = 2, 99 % 3 = 0, 100 % 3 = 1.
        (vec![("sort", "popular")], "bdac"),
        (vec![("sort", "openingSoon")], ""),
        (vec![("categoryCode", "2000")], "cb"),
        (vec![("categoryCode", "2100")], "c"),
        (vec![("categoryCode", "77")], ""),
        (vec![("priceMin", "300"), ("priceMax", "400")], "cb"),
        (vec![("state", "onSale")], "dcba"),
        (vec![("state", "ended")], ""),
        (vec![("startsFrom", "2100-01-01T00:00:00Z")], ""),
        (vec![("startsTo", "2100-01-01T00:00:00Z")], "dcba"),
        (vec![("companyId", &company), ("q", "b")], "b"),
        (vec![("companyId", "999")], ""),
        (vec![("size", "2"), ("page", "2")], "ba"),
    ] {
        assert_eq!(names(&anyone, &query).await.concat(), expected, "{query:?}");
    }
    for (name, value, field) in [
        ("size", "101", "size"),
        ("page", "0", "page"),
        ("page", "9999", "page"),
        ("sort", "name", "sort"),
        ("q", "\0", "q"),
        ("priceMin", "-1", "priceMin"),
        ("priceMin", "9223372036854775808", "priceMin"),
        ("state", "draft", "state"),
        ("state", "lost", "state"),
        ("cursor", "x", "cursor"),
        ("startsFrom", "tomorrow", "startsFrom"),
    ] {
        let request = anyone.request(reqwest::Method::GET, "/api/products").query(&[(name, value)]);
        let problem = Http::send(name.into(), request).await.unwrap().problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_goes_through_all_without_gap_or_repeat() {
    let service = Service::start().await;
    let goods: Vec<_> = (0..7).map(|n| ("lamp", 100 * (1 + n % 3), 1_000)).collect();
    shop(&service, &goods).await;
    for sort in ["newest", "priceUp", "priceDown", "popular", "updated"] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("limit", "3"), ("sort", sort)];
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let found = search(&service.anyone(), &query).await;
            assert!(found.get("total").is_none());
            let items = found["items"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item["productId"].as_i64().unwrap()));
            let Some(next) = found["next"].as_str() else { break };
            cursor = Some(next.to_owned());
        }
        assert_eq!(seen.len(), 7, "{sort}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 7, "{sort}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_found_so_a_second_later() {
    let service = Service::start().await;
    let product = service.product(1).await;
    let anyone = service.anyone();
    assert_eq!(names(&anyone, &[("q", "lamp")]).await, ["lamp"]);
    service.seller().delete(&format!("/api/products/{product}")).await.unwrap().expect(204);
    eventually(PATIENCE, async || {
        let left = names(&anyone, &[("q", "lamp")]).await;
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await;
}

/// Every table that a plan reads from its first row to its last.
fn scans(plan: &Value, found: &mut Vec<String>) {
    if plan["Node Type"] == "Seq Scan" {
        found.push(plan["Relation Name"].as_str().unwrap_or("?").to_owned());
    }
    for below in plan["Plans"].as_array().into_iter().flatten() {
        scans(below, found);
    }
}

/// The conditions that a plan holds against rows of products it has walked to.
fn checks(plan: &Value, found: &mut Vec<String>) {
    if plan["Node Type"] == "Index Scan" && plan["Relation Name"] == "product" {
        found.extend(plan["Filter"].as_str().map(str::to_owned));
    }
    for below in plan["Plans"].as_array().into_iter().flatten() {
        checks(below, found);
    }
}

/// How PostgreSQL would go about it.
async fn plan(searches: &PgPool, query: &mut QueryBuilder<Postgres>) -> Value {
    let mut query = query.build();
    let arguments = query.take_arguments().unwrap().unwrap();
    let sql = sqlx::AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) {}", query.sql().as_str()));
    let row = sqlx::query_with(sql, arguments).fetch_one(searches).await.unwrap();
    row.get::<Value, _>(0)[0]["Plan"].take()
}

/// A shop of 20,000 products, made by the database alone.
async fn crowd(pg: &PgPool) {
    for sql in [
        "INSERT INTO company (user_id, company_name, description, address, created_at, created_by, updated_at, updated_by)
         SELECT n, 'company ' || n, '', '', now(), n, now(), n FROM generate_series(1, 50) n",
        "INSERT INTO product (company_id, category_code, product_name, description, original_price, discounted_price,
             initial_stock, sale_start_time, sale_end_time, purchase_limit, images, queue, version, price_version,
             created_at, created_by, updated_at, updated_by, state)
         SELECT 1 + n % 50, 1000 * (1 + n % 3), 'lamp ' || (ARRAY['red', 'blue', '초록'])[1 + n % 3] || ' x' || n, '', 2000,
             1000 + n % 1000, 1, now() + n * interval '1 minute', now() + interval '1 year', 1, '{}', '{}', 1, 1,
             now() - n * interval '1 second', 1, now() - n * interval '1 second', 1, 'scheduled'
         FROM generate_series(1, 20000) n",
        "ANALYZE",
    ] {
        sqlx::query(sql).execute(pg).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_search_reads_a_whole_table() {
    let service = Service::start().await;
    crowd(&service.pg).await;
    let searches = pool(&service.pg, 1);
    let now = Clock::system().now();
    let filters = [
        Filter::default(),
        Filter { company: Some(CompanyId(7)), ..Filter::default() },
        Filter { category: Some(1_000), ..Filter::default() },
        Filter { price_min: Some(1_100), price_max: Some(1_101), ..Filter::default() },
        Filter { state: Some(SaleState::SoldOut), ..Filter::default() },
        Filter {
            starts_from: Some(now),
            starts_to: Some(now + Duration::from_secs(60)),
            ..Filter::default()
        },
    ];
    let after = Some(Cursor { value: 1_500, product: ProductId(9_000) });
    let parts = [
        Part::Page { size: 20, offset: 0 },
        Part::Page { size: 100, offset: 9_900 },
        Part::Next { limit: 20, after },
    ];
    for filter in filters {
        for words in [None, Some("'x77':*"), Some("('lamp') & ('red' | 'redder')"), Some("('none')")] {
            for sort in Sort::ALL {
                let filter = Filter { sort, ..filter.clone() };
                let categories = filter.category.map(|code| vec![code, 2_000]);
                let look = Look { filter: &filter, query: words, categories: categories.as_deref(), now };
                let selections = parts.iter().map(|part| selection(look, *part));
                for mut query in selections.chain([counting(look)]) {
                    let plan = plan(&searches, &mut query).await;
                    let mut found = Vec::new();
                    scans(&plan, &mut found);
                    assert!(found.is_empty(), "{filter:?} {words:?} reads {found:?}: {plan:#}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_refuses_is_refused_by_the_index() {
    let service = Service::start().await;
    crowd(&service.pg).await;
    let searches = pool(&service.pg, 1);
    let now = Clock::system().now();
    let filters = [
        Filter { price_min: Some(1_100), price_max: Some(1_500), ..Filter::default() },
        Filter { state: Some(SaleState::Scheduled), price_min: Some(1_900), ..Filter::default() },
        Filter { category: Some(1_000), ..Filter::default() },
        Filter {
            starts_from: Some(now),
            starts_to: Some(now + Duration::from_secs(60_000)),
            ..Filter::default()
        },
    ];
    let refused = ["discounted_price", "category_code", "state =", "sale_start_time >=", "sale_start_time <"];
    for filter in filters {
        for words in [None, Some("('lamp')"), Some("('lamp') & ('red')")] {
            for sort in Sort::ALL {
                let filter = Filter { sort, ..filter.clone() };
                let categories = filter.category.map(|code| vec![code]);
                let look = Look { filter: &filter, query: words, categories: categories.as_deref(), now };
                for mut query in [selection(look, Part::Page { size: 20, offset: 0 }), counting(look)] {
                    let plan = plan(&searches, &mut query).await;
                    let mut found = Vec::new();
                    checks(&plan, &mut found);
                    // Of rows that are walked to, nothing is asked but the words, and whether the sale has begun.
                    let asked = |check: &String| refused.iter().any(|column| check.contains(column));
                    assert!(!found.iter().any(asked), "{filter:?} {words:?} checks {found:?}: {plan:#}");
                }
            }
        }
    }
}
