use common::redis::Connections;
use common::wire::denied::{DENIED, Denial, Denied};
use common::wire::token::Role;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::Http;

use super::{LONG, TestUser};

fn path(login: &common::wire::user::LoginView) -> String {
    format!("/api/users/{}", login.user_id)
}

fn login_ids(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["loginId"].as_str().unwrap()).collect()
}

async fn role_denials(redis: &Connections) -> Vec<Denied> {
    let entries = redis.entries(DENIED, "-", 10_000).await.unwrap();
    entries.iter().filter_map(|(_, fields)| Denial::read(fields)).map(|denial| denial.what).collect()
}

#[tokio::test]
async fn all_accounts_are_for_an_admin_alone() {
    let user = TestUser::start().await;
    let (someone, _) = user.person("someone1").await;
    let (own, customer) = user.person("sujin01").await;
    let (_, manager) = user.staff("manager1", "MANAGER").await;
    for http in [&customer, &manager] {
        for (method, path) in [
            (Method::GET, "/api/users".to_owned()),
            (Method::GET, path(&someone)),
            (Method::GET, path(&own)),
            (Method::PATCH, path(&someone)),
            (Method::DELETE, path(&someone)),
        ] {
            let request = http.request(method.clone(), &path).json(&json!({"nickname": "x"}));
            Http::send(format!("{method} {path}"), request).await.unwrap().problem(403, "forbidden");
        }
    }
    user.http.get("/api/users").await.unwrap().problem(401, "login-required");
    let nicknames: i64 =
        sqlx::query_scalar("SELECT count(*) FROM account WHERE nickname = 'x' OR deleted_at IS NOT NULL")
            .fetch_one(&user.pg)
            .await
            .unwrap();
    assert_eq!(nicknames, 0);
}

#[tokio::test]
async fn accounts_are_searched_sorted_and_paged() {
    let user = TestUser::start().await;
    let (_, admin) = user.staff("admin001", "ADMIN").await;
    for login_id in ["anna01", "anna02", "berta01"] {
        user.clock.advance(std::time::Duration::from_secs(1));
        user.sign_up(login_id).await;
    }
    sqlx::query("UPDATE account SET nickname = '100%_\\' WHERE login_id = 'berta01'")
        .execute(&user.pg)
        .await
        .unwrap();
    sqlx::query("UPDATE account SET deleted_at = now(), deleted_by = 'system' WHERE login_id = 'anna02'")
        .execute(&user.pg)
        .await
        .unwrap();
    for (query, expected, total) in [
        ("", vec!["berta01", "anna01", "admin001"], 3),
        ("?sort=loginId", vec!["admin001", "anna01", "berta01"], 3),
        ("?sort=loginId,desc&size=1", vec!["berta01"], 3),
        ("?sort=createdAt&size=1&page=2", vec!["anna01"], 3),
        ("?size=2&page=3", vec![], 3),
        ("?search=ANNA", vec!["anna01"], 1),
        ("?search=anna&deleted=true&sort=loginId", vec!["anna01", "anna02"], 2),
        ("?search=nna0", vec!["anna01"], 1),
        ("?search=%EA%B9%80%EC%88%98", vec!["berta01", "anna01", "admin001"], 3),
        ("?search=100%25_%5C", vec!["berta01"], 1),
        ("?search=%25", vec!["berta01"], 1),
        ("?search=_", vec!["berta01"], 1),
        ("?role=ADMIN", vec!["admin001"], 1),
        ("?role=SELLER", vec![], 0),
    ] {
        let list = admin.get(&format!("/api/users{query}")).await.unwrap().expect(200).body;
        assert_eq!((login_ids(&list), &list["total"]), (expected, &json!(total)), "{query}");
        assert!(!list.to_string().contains("argon2"), "no hash");
    }
    for (query, field) in [
        ("?page=0", "page"),
        ("?page=10001", "page"),
        ("?size=0", "size"),
        ("?size=101", "size"),
        ("?sort=password", "sort"),
        ("?role=SERVICE", "role"),
        ("?search=", "search"),
        ("?role=KING", "role"),
        ("?page=x", "page"),
        ("?nickname=x", "nickname"),
    ] {
        let problem =
            admin.get(&format!("/api/users{query}")).await.unwrap().problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], field, "{query} {problem}");
    }
}

#[tokio::test]
async fn an_admin_changes_an_account_and_is_named_for_it() {
    let user = TestUser::start().await;
    let (admin, http) = user.staff("admin001", "ADMIN").await;
    let (login, own) = user.person("sujin01").await;
    own.get("/api/users/me").await.unwrap().expect(200);
    let shown = http.get(&path(&login)).await.unwrap().expect(200).body;
    assert_eq!(
        (&shown["createdBy"], &shown["loginId"]),
        (&json!(login.user_id.to_string()), &json!("sujin01"))
    );
    let changed = http.patch(&path(&login), &json!({"nickname": "renamed"})).await.unwrap().expect(200).body;
    assert_eq!(
        (&changed["nickname"], &changed["updatedBy"]),
        (&json!("renamed"), &json!(admin.user_id.to_string()))
    );
    assert_eq!(own.get("/api/users/me").await.unwrap().expect(200).body["nickname"], "renamed");
    for (wish, field) in [
        (json!({"role": "SERVICE"}), "role"),
        (json!({"role": "KING"}), "role"),
        (json!({"role": "seller"}), "role"),
        (json!({"phoneNumber": ""}), "phoneNumber"),
        (json!({"deletedAt": null}), "deletedAt"),
        (json!({}), "body"),
    ] {
        let problem = http.patch(&path(&login), &wish).await.unwrap().problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    http.delete(&path(&login)).await.unwrap().expect(204);
    user.refused(&own).await;
    let gone = http.get(&path(&login)).await.unwrap().expect(200).body;
    assert_eq!(gone["deletedBy"], admin.user_id.to_string());
    http.delete(&path(&login)).await.unwrap().problem(404, "unknown-user");
    http.patch(&path(&login), &json!({"nickname": "x"})).await.unwrap().problem(404, "unknown-user");
    http.get("/api/users/1").await.unwrap().problem(404, "unknown-user");
    http.get("/api/users/x").await.unwrap().problem(404, "no-such-route");
}

#[tokio::test]
async fn a_changed_role_counts_within_seconds_and_the_login_goes_on() {
    let user = TestUser::start().await;
    let beside = user.beside().await;
    let (_, admin) = user.staff("admin001", "ADMIN").await;
    let (login, http) = user.person("sujin01").await;
    let change =
        async |role: &str| admin.patch(&path(&login), &json!({"role": role})).await.unwrap().expect(200);
    change("MANAGER").await;
    user.refused(&http).await;
    user.refused(&beside.login(&login.access_token)).await;
    let refresh = json!({"refreshToken": login.refresh_token});
    let next = user.http.post("/api/auth/refresh", &refresh).await.unwrap().expect(200).body;
    assert_eq!(next["role"], "MANAGER");
    let http = user.http.login(next["accessToken"].as_str().unwrap());
    http.get("/api/auth/sessions").await.unwrap().expect(200);
    // And back: the first token's role is right again, the second's is not.
    change("CUSTOMER").await;
    user.refused(&http).await;
    user.http.login(&login.access_token).get("/api/auth/sessions").await.unwrap().expect(200);
    let told = role_denials(&user.redis()).await;
    assert!(told.contains(&Denied::OtherRoles(login.user_id, Role::Customer, 3)), "{told:?}");
    // A change that is none tells of no role.
    let before = told.len();
    change("CUSTOMER").await;
    testkit::eventually(LONG, async || {
        anyhow::ensure!(user.figure("astraphe_user_changes_waiting 0").await, "not told");
        Ok(())
    })
    .await;
    let after = role_denials(&user.redis()).await;
    let own = |told: &[Denied]| {
        told.iter().filter(|one| matches!(one, Denied::OtherRoles(id, ..) if *id == login.user_id)).count()
    };
    assert_eq!(own(&after), own(&told), "{before}");
}

#[tokio::test]
async fn the_last_admin_stays() {
    let user = TestUser::start().await;
    let (first, http) = user.staff("admin001", "ADMIN").await;
    let demote = json!({"role": "MANAGER"});
    for _ in 0..2 {
        http.patch(&path(&first), &demote).await.unwrap().problem(409, "last-admin");
        http.delete(&path(&first)).await.unwrap().problem(409, "last-admin");
        http.delete("/api/users/me").await.unwrap().problem(409, "last-admin");
    }
    http.patch(&path(&first), &json!({"role": "ADMIN", "nickname": "root"})).await.unwrap().expect(200);
    // Two that take each other's role away at the same moment: one stays.
    let (second, other) = user.staff("admin002", "ADMIN").await;
    let (its, others) = (path(&first), path(&second));
    let (a, b) = tokio::join!(http.patch(&others, &demote), other.patch(&its, &demote));
    let mut answers = [a.unwrap().status, b.unwrap().status];
    answers.sort_unstable();
    assert_eq!(answers, [200, 409]);
    let admins: i64 = sqlx::query_scalar("SELECT count(*) FROM account WHERE role = 'ADMIN'")
        .fetch_one(&user.pg)
        .await
        .unwrap();
    assert_eq!(admins, 1);
}
