use common::wire::id::UserId;
use common::wire::token::Role;
use serde_json::json;

use crate::service::{SELLER, Service};

#[tokio::test(flavor = "multi_thread")]
async fn a_company_is_made_shown_changed_and_withdrawn_by_its_owner() {
    let service = Service::start().await;
    let company = service.company().await;
    let path = format!("/api/companies/{company}");
    let shown = service.anyone().get(&path).await.unwrap().expect(200).body;
    assert_eq!((&shown["companyName"], &shown["userId"]), (&json!("Lumen"), &json!(SELLER.0)));

    let wish = json!({"companyName": "Lux"});
    let foreign = service.login(UserId(12), Role::Seller);
    foreign.put(&path, &wish).await.unwrap().problem(403, "forbidden");
    foreign.delete(&path).await.unwrap().problem(403, "forbidden");
    service.login(SELLER, Role::Customer).put(&path, &wish).await.unwrap().problem(403, "forbidden");
    service.anyone().put(&path, &wish).await.unwrap().problem(401, "login-required");

    let changed = service.seller().put(&path, &wish).await.unwrap().expect(200).body;
    assert_eq!((&changed["companyName"], &changed["description"]), (&json!("Lux"), &json!("")));
    let list = service.anyone().get("/api/companies?companyName=lu&size=1").await.unwrap().expect(200).body;
    assert_eq!((&list["total"], &list["items"][0]["companyId"]), (&json!(1), &json!(company)));

    let product = service.wish(company, 1);
    let product = service.seller().post("/api/products", &product).await.unwrap().expect(201).body;
    service.seller().delete(&path).await.unwrap().problem(409, "company-has-products");
    let product = format!("/api/products/{}", product["productId"]);
    let admin = service.login(UserId(1), Role::Admin);
    assert_eq!(admin.delete(&product).await.unwrap().status, 204);
    assert_eq!(admin.delete(&path).await.unwrap().status, 204);
    service.anyone().get(&path).await.unwrap().problem(404, "unknown-company");
    service.seller().put(&path, &wish).await.unwrap().problem(404, "unknown-company");
    let kept =
        "SELECT count(*) FROM company WHERE deleted_at IS NOT NULL AND deleted_by = 1 AND created_by = 11";
    assert_eq!(service.number(kept).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_company_names_its_field_and_leaves_no_trace() {
    let service = Service::start().await;
    let seller = service.seller();
    let table = [
        ("companyName", json!({"companyName": ""})),
        ("companyName", json!({"companyName": "a".repeat(21)})),
        ("companyName", json!({"companyName": 7})),
        ("description", json!({"companyName": "a", "description": "a".repeat(1_001)})),
        ("address", json!({"companyName": "a", "address": "a\u{0}"})),
    ];
    for (field, wish) in table {
        let problem = seller.post("/api/companies", &wish).await.unwrap().problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let shopper = service.login(UserId(5), Role::Customer);
    shopper.post("/api/companies", &json!({"companyName": "a"})).await.unwrap().problem(403, "forbidden");
    assert_eq!(service.number("SELECT count(*) FROM company").await, 0);
}
