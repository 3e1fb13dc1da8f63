use std::time::Duration;

use common::wire::token::Identity;
use common::wire::user::LoginView;
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use testkit::client::{Answer, Http};

use super::{TestUser, cookies};

impl TestUser {
    async fn refresh(&self, token: &str) -> Answer {
        self.http.post("/api/auth/refresh", &json!({"refreshToken": token})).await.unwrap()
    }

    async fn refreshed(&self, token: &str) -> LoginView {
        self.refresh(token).await.expect(200).body()
    }

    async fn identity(&self, login: &LoginView) -> Identity {
        self.issuers.verifier(&self.clock).identity(&login.access_token).await.unwrap()
    }

    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn a_refresh_goes_on_with_the_same_login_and_gives_a_new_pair() {
    let user = TestUser::start().await;
    let (login, _) = user.person("sujin01").await;
    user.later(600);
    let answer = user.refresh(&login.refresh_token).await.expect(200);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(cookies(&answer).is_empty(), "a program has no use for them");
    let next: LoginView = answer.body();
    assert_ne!(next.refresh_token, login.refresh_token);
    assert_eq!(next.expires_at.timestamp(), user.clock.now_s() + 900);
    let (was, is) = (user.identity(&login).await, user.identity(&next).await);
    assert_eq!((is.sub, is.role, is.sid), (was.sub, was.role, was.sid));
    user.later(600);
    user.refreshed(&next.refresh_token).await;
    assert_eq!(user.rows("session").await, 1);
}

#[tokio::test]
async fn a_lost_answer_is_given_again_for_ten_seconds() {
    let user = TestUser::start().await;
    let (login, _) = user.person("sujin01").await;
    let next = user.refreshed(&login.refresh_token).await;
    user.later(10);
    assert_eq!(user.refreshed(&login.refresh_token).await.refresh_token, next.refresh_token);
    // Once the next one was used, nobody has lost it.
    user.refreshed(&next.refresh_token).await;
    user.refresh(&login.refresh_token).await.problem(401, "invalid-refresh-token");
}

#[tokio::test]
async fn many_tabs_that_refresh_at_once_get_the_same_token() {
    let user = TestUser::start().await;
    let (login, _) = user.person("sujin01").await;
    let answers = join_all((0..8).map(|_| user.refreshed(&login.refresh_token))).await;
    for answer in &answers {
        assert_eq!(answer.refresh_token, answers[0].refresh_token);
    }
    user.refreshed(&answers[0].refresh_token).await;
    assert!(user.figure(r#"astraphe_user_refreshes_total{result="again"} 7"#).await);
}

#[tokio::test]
async fn a_token_used_again_ends_the_login_and_only_that() {
    let user = TestUser::start().await;
    let (login, _) = user.person("sujin01").await;
    let other = user.log_in("sujin01").await;
    let mut tokens = vec![login];
    for _ in 0..3 {
        let last = tokens.last().unwrap();
        tokens.push(user.refreshed(&last.refresh_token).await);
        user.later(11);
    }
    let newest = tokens.pop().unwrap();
    let bearer = user.http.login(&newest.access_token);
    bearer.get("/api/auth/sessions").await.unwrap().expect(200);
    // The second of four: neither the present one nor the one used last.
    user.refresh(&tokens[1].refresh_token).await.problem(401, "invalid-refresh-token");
    user.refresh(&newest.refresh_token).await.problem(401, "invalid-refresh-token");
    user.refused(&bearer).await;
    user.refreshed(&other.refresh_token).await;
    assert!(user.figure(r#"astraphe_user_refreshes_total{result="reused"} 1"#).await);
}

#[tokio::test]
async fn a_login_ends_by_not_being_used() {
    let user = TestUser::start().await;
    let (login, _) = user.person("sujin01").await;
    user.later(3_599);
    let next = user.refreshed(&login.refresh_token).await;
    user.later(3_599);
    let next = user.refreshed(&next.refresh_token).await;
    user.later(3_600);
    user.refresh(&next.refresh_token).await.problem(401, "invalid-refresh-token");
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused() {
    let user = TestUser::start().await;
    let (login, _) = user.person("sujin01").await;
    let other = format!("{}{}", &login.refresh_token[..40], "AAA");
    for token in ["", "x", &login.access_token[..200], &login.refresh_token[1..], &"A".repeat(43)] {
        user.refresh(token).await.problem(401, "invalid-refresh-token");
    }
    let nothing = user.http.request(Method::POST, "/api/auth/refresh");
    Http::send("nothing".into(), nothing).await.unwrap().problem(401, "login-required");
    for (body, field) in [
        (json!({}), "refreshToken"),
        (json!({"refreshToken": 7}), "refreshToken"),
        (json!({"refreshToken": "x".repeat(257)}), "refreshToken"),
        (json!({"refreshToken": "x", "userId": 7}), "userId"),
    ] {
        let problem = user.http.post("/api/auth/refresh", &body).await.unwrap();
        let problem = problem.problem(400, "validation-failed");
        let named = problem["errors"][0].to_string();
        assert!(named.contains(field), "{problem}");
    }
    user.refreshed(&login.refresh_token).await;
    // It names the login, so whoever has it has had a token of it.
    user.refresh(&other).await.problem(401, "invalid-refresh-token");
    assert_eq!(user.rows("session").await, 0);
}

#[tokio::test]
async fn a_browser_refreshes_by_cookies_that_no_script_sees() {
    let user = TestUser::start().await;
    let (login, _) = user.person("sujin01").await;
    let browser = user.http.with("host", "shop.example");
    let refresh = async |cookie: String| {
        let request = browser.request(Method::POST, "/api/auth/refresh").header("cookie", cookie);
        Http::send("refresh".into(), request).await.unwrap()
    };
    let answer = refresh(format!("a=b; refresh={}; device=x", login.refresh_token)).await.expect(204);
    assert!(answer.body.is_null());
    let [identity, next] = cookies(&answer).try_into().unwrap();
    assert!(identity.starts_with("identity=ey"), "{identity}");
    assert!(identity.ends_with("; Max-Age=900; Path=/; HttpOnly; SameSite=Lax; Secure"), "{identity}");
    let kept = "; Max-Age=3600; Path=/api/auth; HttpOnly; SameSite=Lax; Secure";
    let next = next.strip_suffix(kept).unwrap().to_owned();
    refresh(next.clone()).await.expect(204);
    let two = format!("{next}; refresh={}", login.refresh_token);
    for cookies in [two, "identity=x".into(), "refresh=".into(), format!("refresh={}", "A".repeat(43))] {
        refresh(cookies).await.problem(401, "login-required");
    }
}

#[tokio::test]
async fn a_refresh_brings_the_present_role() {
    let user = TestUser::start().await;
    let (login, _) = user.person("sujin01").await;
    sqlx::query("UPDATE account SET role = 'SELLER'").execute(&user.pg).await.unwrap();
    assert_eq!(json!(user.refreshed(&login.refresh_token).await.role), "SELLER");
}

#[tokio::test]
async fn a_page_without_a_script_is_led_through_a_refresh() {
    let user = TestUser::start().await;
    let (login, _) = user.person("sujin01").await;
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let go = async |next: &str, cookie: &str| {
        let url = format!("{}/api/auth/refresh?next={next}", user.base);
        let answer = client.get(url).header("cookie", cookie).send().await.unwrap();
        let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), to, answer.headers().get_all("set-cookie").iter().count())
    };
    let cookie = format!("refresh={}", login.refresh_token);
    assert_eq!(go("/queue/7/plain", &cookie).await, (303, Some("/queue/7/plain".into()), 2));
    assert_eq!(go("/queue/7/plain", "a=b").await, (303, Some("/queue/7/plain?login=over".into()), 0));
    assert_eq!(go("/p.html?id=7", "refresh=x").await, (303, Some("/p.html?id=7&login=over".into()), 0));
    for next in ["", "//evil.example", "https://evil.example", "/%5Cevil.example"] {
        assert_eq!(go(next, &cookie).await, (400, None, 0), "{next}");
    }
}
