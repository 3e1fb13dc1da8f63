//! The demo shop: a company, a product on sale and one whose sale starts in two minutes, registered through the
//! gateway as its seller would.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testkit::error::{Error, Result};
use testkit::http::Request;

use crate::report;

/// Long enough to open the page and to see the countdown.
const STARTS_IN_S: i64 = 120;
/// How long a demo sale lasts.
const SALE_S: i64 = 86_400;

/// Registers the shop with the seller's account of `stack` (the content of `stack.json`), and returns the id of the
/// product whose sale starts soon.
pub(crate) fn open(stack: &Value) -> Result<Value> {
    let gateway = text(stack, "/gateway")?;
    let login = json!({
        "loginId": text(stack, "/accounts/seller/loginId")?,
        "password": text(stack, "/accounts/seller/password")?,
    });
    let seller = Seller { gateway, token: String::new() };
    let token = text(&seller.post("/api/auth/login", &login)?, "/accessToken")?;
    let seller = Seller { token, ..seller };
    let company = json!({
        "companyName": "Astraphe demo shop",
        "description": "Small things that sell out",
        "address": "1 Sejong-daero, Seoul",
    });
    let company = seller.post("/api/companies", &company)?["companyId"].clone();
    let now = now_s();
    let mut id = Value::Null;
    for product in [mug(&company, now), shoes(&company, now)] {
        id = seller.post("/api/products", &product)?["productId"].clone();
        report::say(&format!("  demo product {id}: {}", product["productName"]));
    }
    Ok(id)
}

struct Seller {
    gateway: String,
    token: String,
}

impl Seller {
    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.gateway);
        let mut request = Request::post(&url, body);
        if !self.token.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", self.token));
        }
        let answer = request.send()?;
        if (200..300).contains(&answer.status) {
            return answer.json();
        }
        Err(Error::new(format!("demo shop: POST {path} answered {} {}", answer.status, answer.body.trim())))
    }
}

/// On sale already.
fn mug(company: &Value, now: i64) -> Value {
    json!({
        "companyId": company,
        "productName": "Everyday mug",
        "description": "A mug that is there when you want one.",
        "originalPrice": 15_000,
        "discountedPrice": 9_900,
        "stock": 500,
        "productOptions": [],
        "categoryCode": 1000,
        "saleStartTime": rfc3339(now - 600),
        "saleEndTime": rfc3339(now + SALE_S),
        "purchaseLimit": 5,
        "images": [],
    })
}

/// On sale soon.
fn shoes(company: &Value, now: i64) -> Value {
    json!({
        "companyId": company,
        "productName": "Night runner, limited edition",
        "description": "One hundred pairs. No second batch.",
        "originalPrice": 189_000,
        "discountedPrice": 129_000,
        "stock": 100,
        "productOptions": [
            {"optionName": "size", "optionValue": "260", "optionPrice": 0},
            {"optionName": "size", "optionValue": "270", "optionPrice": 0},
            {"optionName": "size", "optionValue": "280", "optionPrice": 5_000},
        ],
        "categoryCode": 3000,
        "saleStartTime": rfc3339(now + STARTS_IN_S),
        "saleEndTime": rfc3339(now + STARTS_IN_S + SALE_S),
        "purchaseLimit": 1,
        "images": [],
        "queue": {"count": 20, "intervalS": 10, "admissionDelayS": 5, "rejoin": "back", "startOrder": "fifo"},
    })
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let text = value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    text.ok_or_else(|| Error::new(format!("demo shop: {pointer} is missing in {value}")))
}

#[expect(clippy::disallowed_methods, reason = "a demo sale starts by the reader's own clock")]
fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).expect("the clock is before the year 292 billion")
}

/// Seconds since 1970 as RFC 3339 in UTC. The days are counted from 1 March of the year 0, so that a leap day is the
/// last day of its year: https://howardhinnant.github.io/date_algorithms.html#civil_from_days
fn rfc3339(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_795_219_200, "2026-11-21T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
