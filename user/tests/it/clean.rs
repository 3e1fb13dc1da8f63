use std::time::Duration;

use super::{LONG, TestUser};

const DAY: Duration = Duration::from_secs(86_400);

impl TestUser {
    async fn until_rows(&self, table: &str, rows: i64) {
        testkit::eventually(LONG, async || {
            let found = self.rows(table).await;
            anyhow::ensure!(found == rows, "{found} rows in {table}");
            Ok(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_has_ended_is_removed_and_the_rest_stays() {
    let user = TestUser::start_with(|config| config.session_ttl_s = 7_200).await;
    user.person("sujin01").await;
    let (_, http) = user.person("another1").await;
    http.post("/api/auth/logout", &serde_json::json!({"refreshToken": "x"})).await.unwrap().expect(204);
    let wrong = super::login_body("sujin01", "wrong-horse-1");
    user.http.post("/api/auth/login", &wrong).await.unwrap().expect(401);
    user.refused(&http).await;
    let wrong = super::login_body("nobody01", "wrong-horse-1");
    user.http.post("/api/auth/login", &wrong).await.unwrap().expect(401);
    assert_eq!((user.rows("session").await, user.rows("change").await), (1, 1));
    assert_eq!(user.rows("login_failure").await, 4, "one of who is known here, three of a stranger");
    user.clock.advance(Duration::from_secs(1_000));
    user.until_rows("change", 0).await;
    user.until_rows("login_failure", 0).await;
    assert_eq!((user.rows("session").await, user.rows("familiar").await), (1, 2));
    user.clock.advance(Duration::from_secs(6_200));
    user.until_rows("session", 0).await;
    user.clock.advance(90 * DAY);
    user.until_rows("familiar", 0).await;
    assert_eq!(user.rows("account").await, 2);
}

#[tokio::test]
async fn a_deleted_account_is_anonymous_after_its_time_and_a_living_one_is_not() {
    let user = TestUser::start().await;
    let (_, http) = user.person("sujin01").await;
    user.person("another1").await;
    http.delete("/api/users/me").await.unwrap().expect(204);
    let texts = async |login_id: &str| -> (String, String, String, String, String) {
        sqlx::query_as(
            "SELECT username, nickname, phone_number, shipping_address, password_hash FROM account WHERE login_id = $1",
        )
        .bind(login_id)
        .fetch_one(&user.pg)
        .await
        .unwrap()
    };
    let (before, other) = (texts("sujin01").await, texts("another1").await);
    user.clock.advance(DAY - Duration::from_secs(1));
    user.until_rows("session", 0).await;
    assert_eq!(texts("sujin01").await, before);
    user.clock.advance(Duration::from_secs(1));
    testkit::eventually(LONG, async || {
        let expected = ("deleted", "deleted", "", "", "!");
        let found = texts("sujin01").await;
        let found = (&*found.0, &*found.1, &*found.2, &*found.3, &*found.4);
        anyhow::ensure!(found == expected, "{found:?}");
        Ok(())
    })
    .await;
    assert_eq!(texts("another1").await, other);
    user.http
        .post("/api/auth/signup", &super::sign_up_body("sujin01"))
        .await
        .unwrap()
        .problem(409, "login-id-taken");
}
