use common::wire::id::UserId;
use common::wire::token::Role;
use serde_json::json;

use crate::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn admin_keeps_the_tree_and_nobody_else() {
    let service = Service::start().await;
    let admin = service.login(UserId(1), Role::Admin);
    let lamps = json!({"categoryCode": 2_100, "categoryName": "lamps", "parentCode": 2_000});
    service.seller().post("/api/categories", &lamps).await.unwrap().problem(403, "forbidden");
    let made = admin.post("/api/categories", &lamps).await.unwrap().expect(201);
    assert_eq!(made.body, lamps);
    admin.post("/api/categories", &lamps).await.unwrap().problem(409, "category-exists");
    let same_name = json!({"categoryCode": 2_200, "categoryName": "lamps"});
    admin.post("/api/categories", &same_name).await.unwrap().problem(409, "category-exists");

    let path = "/api/categories/2100";
    let renamed = json!({"categoryName": "lights", "parentCode": 1_000});
    let tag = made.headers["etag"].to_str().unwrap();
    let changed = admin.with("if-match", tag).put(path, &renamed).await.unwrap().expect(200);
    assert_eq!(changed.body["parentCode"], 1_000);
    admin.with("if-match", tag).put(path, &renamed).await.unwrap().problem(412, "outdated");
    service.seller().put(path, &renamed).await.unwrap().problem(403, "forbidden");
    let taken = json!({"categoryName": "food"});
    admin.put(path, &taken).await.unwrap().problem(409, "category-exists");

    let below = json!({"categoryName": "food", "parentCode": 2_100});
    let cycle = admin.put("/api/categories/1000", &below).await.unwrap().problem(400, "validation-failed");
    assert_eq!(cycle["errors"][0]["field"], "parentCode");
    for (wish, status, code) in [
        (json!({"categoryCode": 0, "categoryName": "x"}), 400, "validation-failed"),
        (json!({"categoryCode": 5, "categoryName": ""}), 400, "validation-failed"),
        (json!({"categoryCode": 5, "categoryName": "a".repeat(10_000)}), 400, "validation-failed"),
        (json!({"categoryCode": 5, "categoryName": "x", "parentCode": 77}), 404, "unknown-category"),
    ] {
        admin.post("/api/categories", &wish).await.unwrap().problem(status, code);
    }
    assert_eq!(service.number("SELECT count(*) FROM category").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_in_use_stays_and_a_withdrawn_one_takes_no_product() {
    let service = Service::start().await;
    let admin = service.login(UserId(1), Role::Admin);
    let lamps = json!({"categoryCode": 2_100, "categoryName": "lamps", "parentCode": 2_000});
    admin.post("/api/categories", &lamps).await.unwrap().expect(201);
    admin.delete("/api/categories/2000").await.unwrap().problem(409, "category-in-use");
    let mut wish = service.wish(service.company().await, 1);
    wish["categoryCode"] = json!(2_100);
    let product = service.seller().post("/api/products", &wish).await.unwrap().expect(201).body;
    admin.delete("/api/categories/2100").await.unwrap().problem(409, "category-in-use");
    let found = service.anyone().get("/api/products?categoryCode=2000").await.unwrap().expect(200).body;
    assert_eq!(found["items"][0]["productId"], product["productId"]);

    let path = format!("/api/products/{}", product["productId"]);
    service.seller().delete(&path).await.unwrap().expect(204);
    admin.delete("/api/categories/2100").await.unwrap().expect(204);
    admin.delete("/api/categories/2100").await.unwrap().problem(404, "unknown-category");
    service.seller().post("/api/products", &wish).await.unwrap().problem(404, "unknown-category");
    let gone = "SELECT count(*) FROM category WHERE deleted_by = 1 AND deleted_at IS NOT NULL";
    assert_eq!(service.number(gone).await, 1);
    let listed = service.anyone().get("/api/categories").await.unwrap().expect(200).body;
    assert_eq!(listed.as_array().unwrap().len(), 3);
}
