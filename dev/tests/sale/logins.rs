//! Logins begin, go on and end at the gateway, whatever service stands behind.

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::client::{Answer, Http};
use testkit::eventually;
use tokio::time::Instant;

use crate::shop::{PATIENCE, Sale, Shop, shared};

/// "Within seconds": the follower looks every half a second; the rest is a loaded machine's.
const SECONDS: u64 = 5;

struct Person {
    name: String,
    login: Value,
}

impl Person {
    fn of(&self, field: &str) -> &str {
        self.login[field].as_str().unwrap()
    }

    fn at(&self, http: &Http) -> Http {
        http.login(self.of("accessToken"))
    }
}

async fn sign_up(shop: &Shop) -> Person {
    let name = format!("e{}", &uuid::Uuid::new_v4().simple().to_string()[..9]);
    let body = json!({
        "loginId": name, "password": "right-horse-1", "username": "e2e", "nickname": "e2e",
        "phoneNumber": "010-1234-5678", "shippingAddress": "Somewhere 1", "role": "CUSTOMER",
    });
    shop.visitor().post("/api/auth/signup", &body).await.unwrap().expect(201);
    let login = log_in(shop, &name).await.expect(200).body;
    Person { name, login }
}

async fn log_in(shop: &Shop, name: &str) -> Answer {
    let body = json!({"loginId": name, "password": "right-horse-1"});
    shop.visitor().post("/api/auth/login", &body).await.unwrap()
}

/// Waits until every one of these answers that the login is void; within seconds.
async fn refused_everywhere(asks: &[(&Http, String)]) {
    let ended = Instant::now();
    for (http, path) in asks {
        eventually(PATIENCE, async || {
            let answer = http.get(path).await?;
            ensure!(answer.status == 401, "{path}: {}", answer.status);
            answer.problem(401, "invalid-token");
            Ok(())
        })
        .await;
    }
    assert!(ended.elapsed().as_secs() < SECONDS, "refused after {:?}", ended.elapsed());
}

#[tokio::test]
async fn a_logout_takes_effect_at_the_gateway_and_at_every_service() {
    let shop = shared();
    let product = shop.register(Sale::default()).await;
    let person = sign_up(shop).await;
    let other = log_in(shop, &person.name).await.expect(200).body;
    let paths = |http| -> Vec<(&Http, String)> {
        let paths = ["/api/users/me".into(), format!("/api/queue/{product}"), "/api/orders".into()];
        paths.into_iter().map(|path| (http, path)).collect()
    };
    let gateway = person.at(&shop.visitor());
    for (http, path) in paths(&gateway) {
        http.get(&path).await.unwrap().expect(200);
    }
    gateway
        .post("/api/auth/logout", &json!({"refreshToken": person.of("refreshToken")}))
        .await
        .unwrap()
        .expect(204);
    refused_everywhere(&paths(&gateway)).await;
    // Also where somebody gets past the gateway.
    let inside = |service: &str| {
        let urls = shop.stack.json()[service].clone();
        person.at(&Http::new(urls[0].as_str().unwrap()))
    };
    let (user, queue, order, product_service) =
        (inside("user"), inside("queueServer"), inside("order"), inside("product"));
    refused_everywhere(&[
        (&user, "/api/users/me".into()),
        (&queue, format!("/api/queue/{product}")),
        (&order, "/api/orders".into()),
        (&product_service, format!("/api/products/{product}")),
    ])
    .await;
    let again = json!({"refreshToken": person.of("refreshToken")});
    shop.visitor().post("/api/auth/refresh", &again).await.unwrap().problem(401, "invalid-refresh-token");
    let other = shop.visitor().login(other["accessToken"].as_str().unwrap());
    other.get("/api/users/me").await.unwrap().expect(200);
}

#[tokio::test]
async fn a_browsers_login_goes_on_by_its_cookies_and_ends_with_them() {
    let shop = shared();
    let product = shop.register(Sale::default()).await;
    let person = sign_up(shop).await;
    let browser = shop.visitor().with("origin", shop.stack.gateway());
    let with = |cookies: &str| browser.with("cookie", cookies);
    let refresh = format!("refresh={}", person.of("refreshToken"));
    let request = with(&refresh).request("POST".parse().unwrap(), "/api/auth/refresh");
    let answer = Http::send("refresh".into(), request).await.unwrap().expect(204);
    let set: Vec<&str> =
        answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    let cookies = set.iter().map(|line| line.split(';').next().unwrap()).collect::<Vec<_>>().join("; ");
    assert!(cookies.starts_with("identity=ey") && cookies.contains("; refresh="), "{cookies}");
    let page = with(&cookies);
    // What the page asks, and what it sends: the same login as before.
    page.get(&format!("/api/queue/{product}")).await.unwrap().expect(200);
    let list = page.get("/api/auth/sessions").await.unwrap().expect(200).body;
    assert_eq!((list["total"].as_i64(), list["items"][0]["current"].as_bool()), (Some(1), Some(true)));
    let foreign = shop.visitor().with("origin", "https://evil.example").with("cookie", cookies.as_str());
    for path in ["/api/auth/refresh", "/api/auth/logout"] {
        let request = foreign.request("POST".parse().unwrap(), path);
        Http::send(path.into(), request).await.unwrap().problem(403, "foreign-origin");
    }
    let request = page.request("POST".parse().unwrap(), "/api/auth/logout");
    Http::send("logout".into(), request).await.unwrap().expect(204);
    refused_everywhere(&[(&page, format!("/api/queue/{product}"))]).await;
}

#[tokio::test]
async fn a_new_role_counts_within_seconds() {
    let shop = shared();
    let (admin, person) = (shop.login("admin").await, sign_up(shop).await);
    let visitor = shop.visitor();
    let http = person.at(&visitor);
    http.get("/api/queue").await.unwrap().problem(403, "forbidden");
    let path = format!("/api/users/{}", person.login["userId"]);
    admin.patch(&path, &json!({"role": "MANAGER"})).await.unwrap().expect(200);
    refused_everywhere(&[(&http, "/api/users/me".into())]).await;
    let body = json!({"refreshToken": person.of("refreshToken")});
    let next = visitor.post("/api/auth/refresh", &body).await.unwrap().expect(200).body;
    let manager = visitor.login(next["accessToken"].as_str().unwrap());
    manager.get("/api/queue").await.unwrap().expect(200);
    admin.patch(&path, &json!({"role": "CUSTOMER"})).await.unwrap().expect(200);
    refused_everywhere(&[(&manager, "/api/queue".into())]).await;
    admin.delete(&path).await.unwrap().expect(204);
    refused_everywhere(&[(&http, "/api/users/me".into())]).await;
    log_in(shop, &person.name).await.problem(401, "wrong-credentials");
}
