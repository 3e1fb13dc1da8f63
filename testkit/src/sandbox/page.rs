//! The page on which a person pays, or does not. The shop's page sends the browser here with what the provider's script
//! would be given; the browser goes back to the shop's success or failure address, as from the real one.

use axum::extract::{Query, State};
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use reqwest::Url;
use serde::Deserialize;

use super::App;
use super::store::{Checkout, Outcome, Refused};

/// What the shop's page wants to be paid, and what the person chose.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wish {
    order_id: String,
    amount: i64,
    #[serde(default)]
    order_name: String,
    success_url: String,
    fail_url: String,
    /// `ko` or `en`; the browser's language when absent.
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    choice: Option<Choice>,
}

/// What a person may do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    /// Pays.
    Approve,
    /// Pays with a card that will be refused.
    Decline,
    /// Pays, and changes the amount in the address on the way back.
    Tamper,
    /// Closes the page.
    Close,
}

struct Words {
    lang: &'static str,
    title: &'static str,
    note: &'static str,
    won: &'static str,
    approve: &'static str,
    decline: &'static str,
    tamper: &'static str,
    close: &'static str,
}

const KOREAN: Words = Words {
    lang: "ko",
    title: "테스트 결제",
    note: "실제로 결제되지 않는 연습용 결제창입니다.",
    won: "원",
    approve: "결제하기",
    decline: "한도 초과 카드로 결제하기",
    tamper: "금액을 바꿔서 돌아가기",
    close: "결제창 닫기",
};
const ENGLISH: Words = Words {
    lang: "en",
    title: "Test payment",
    note: "This page stands in for the payment provider. No money moves.",
    won: "won",
    approve: "Pay",
    decline: "Pay with a card that is refused",
    tamper: "Go back with another amount",
    close: "Close the page",
};

/// `GET /sandbox/checkout` → the page.
pub(super) async fn show(headers: HeaderMap, wish: Query<Wish>) -> Response {
    let Query(wish) = wish;
    let browser = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let lang = wish.lang.as_deref().unwrap_or(browser);
    let words = if lang.starts_with("ko") { KOREAN } else { ENGLISH };
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], html(&wish, &words)).into_response()
}

/// `POST /sandbox/checkout?…&choice=` → 303 to the shop.
pub(super) async fn choose(State(app): State<App>, Query(wish): Query<Wish>) -> Result<Response, Refused> {
    let choice = wish.choice.ok_or_else(|| Refused::new(400, "INVALID_REQUEST", "choice is missing"))?;
    if choice == Choice::Close {
        let mut back = address(&wish.fail_url)?;
        // Without the order, as the provider does when nobody chose anything.
        back.query_pairs_mut()
            .append_pair("code", "PAY_PROCESS_CANCELED")
            .append_pair("message", "the shopper closed the page");
        return Ok(redirect(&back));
    }
    let mut back = address(&wish.success_url)?;
    let outcome = if choice == Choice::Decline { Outcome::Decline } else { Outcome::Approve };
    let name = Some(wish.order_name).filter(|name| !name.is_empty());
    let checkout =
        Checkout { order_id: wish.order_id.clone(), amount: wish.amount, outcome, order_name: name };
    let payment_key = app.shop().check_out(checkout, app.clock.now())?;
    let amount = if choice == Choice::Tamper { wish.amount - 1 } else { wish.amount };
    back.query_pairs_mut()
        .append_pair("paymentType", "NORMAL")
        .append_pair("paymentKey", &payment_key)
        .append_pair("orderId", &wish.order_id)
        .append_pair("amount", &amount.to_string());
    Ok(redirect(&back))
}

/// Where the shop wants the browser back; nothing but the web.
fn address(text: &str) -> Result<Url, Refused> {
    let url = text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| Refused::new(400, "INVALID_REQUEST", "successUrl, failUrl: addresses of web pages"))
}

fn redirect(to: &Url) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, to.as_str())]).into_response()
}

fn html(wish: &Wish, words: &Words) -> String {
    let Words { lang, title, note, won, .. } = words;
    let (name, amount) = (escaped(&wish.order_name), wish.amount);
    let buttons: String = [
        ("approve", words.approve),
        ("decline", words.decline),
        ("tamper", words.tamper),
        ("close", words.close),
    ]
    .into_iter()
    .map(|(choice, text)| {
        format!("<form method=\"post\" action=\"{}\"><button>{text}</button></form>", action(wish, choice))
    })
    .collect();
    format!(
        "<!doctype html><html lang=\"{lang}\"><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\">\
         <style>body{{font:16px system-ui;max-width:24rem;margin:3rem auto;padding:0 1rem}}\
         button{{width:100%;padding:.8rem;margin:.3rem 0;font:inherit}}</style>\
         <h1>{title}</h1><p>{note}</p><p><b>{name}</b><br>{amount} {won}</p>{buttons}</html>"
    )
}

/// The same page's address with a choice, as an attribute's value.
fn action(wish: &Wish, choice: &str) -> String {
    let mut url: Url = "http://sandbox/sandbox/checkout".parse().expect("an address");
    url.query_pairs_mut()
        .append_pair("orderId", &wish.order_id)
        .append_pair("amount", &wish.amount.to_string())
        .append_pair("orderName", &wish.order_name)
        .append_pair("successUrl", &wish.success_url)
        .append_pair("failUrl", &wish.fail_url)
        .append_pair("choice", choice);
    escaped(&format!("{}?{}", url.path(), url.query().unwrap_or_default()))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
