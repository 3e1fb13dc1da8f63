//! Registers what is sold, as a seller does it: logs in, has a company, registers a product whose sale has
//! begun.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::SubsecRound as _;
use common::clock::Clock;
use common::wire::Time;
use common::wire::id::{CompanyId, ProductId};
use common::wire::product::{CompanyView, ProductView, QueuePolicy};
use common::wire::queue::{Place, ScheduleView};
use common::wire::user::LoginView;
use serde::Serialize;
use serde_json::json;

use crate::account::Login;
use crate::http::{Agent, Call};
use crate::stack::Stack;

/// The sale began this long before it was registered: admissions without a delay are open at once.
const BEGAN_S: i64 = 1;
/// The sale ends this long after it was registered.
const LASTS_S: i64 = 3_600;
/// A room must be joinable this soon after the registration; twice the promised second.
const ROOM_WITHIN: Duration = Duration::from_secs(2);
const ROOM_POLL: Duration = Duration::from_millis(50);

/// What is sold, and how people are let in.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Terms {
    /// Units.
    pub(crate) units: i64,
    /// Units per shopper.
    pub(crate) limit: u32,
    /// Admissions per interval.
    pub(crate) count: u32,
    /// Length of an interval.
    pub(crate) interval_s: u32,
    /// Admissions open this long after the sale's start.
    pub(crate) delay_s: u32,
    /// The sale begins so many seconds after its registration; 0: it has begun.
    pub(crate) ahead_s: u32,
    /// Shoppers inside at once; no limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capacity: Option<u32>,
}

/// A registered sale.
#[derive(Debug)]
pub(crate) struct Sale {
    /// The product.
    pub(crate) product: ProductId,
    /// When admissions open.
    pub(crate) opens_at: Time,
    /// Its terms.
    pub(crate) terms: Terms,
    /// Identity token of the seller.
    seller: String,
}

/// The demo seller with a company.
#[derive(Debug, Clone)]
pub(crate) struct Seller {
    /// Identity token.
    pub(crate) token: String,
    /// The company.
    pub(crate) company: CompanyId,
}

/// Logs in as the demo seller, through the public gateway, and registers a company.
pub(crate) async fn enter(stack: &Stack, agent: &Agent) -> anyhow::Result<Seller> {
    let gateway = &stack.gateways()[0];
    let account = stack.accounts.get("seller").context("stack.json names no seller account")?;
    let call = Call::post(format!("{gateway}/api/auth/login"))
        .json(&json!({ "loginId": account.login_id, "password": account.password }));
    let login: LoginView = agent.send(&call).await?.success("login as the demo seller")?;
    let call = Call::post(format!("{gateway}/api/companies")).bearer(&login.access_token).json(&json!({
        "companyName": "Nightfall Audio",
        "description": "Small series of good headphones.",
        "address": "1 Harbour Road, Busan",
    }));
    let company: CompanyView = agent.send(&call).await?.success("registering the company")?;
    Ok(Seller { token: login.access_token, company: company.company_id })
}

/// What a registration says, of a sale that begins in a day.
pub(crate) fn wish(company: CompanyId, name: &str) -> serde_json::Value {
    let starts_at = Clock::system().now().trunc_subsecs(0) + chrono::TimeDelta::days(1);
    json!({
        "companyId": company,
        "productName": name,
        "description": "Numbered, sold once.",
        "originalPrice": 129_000,
        "discountedPrice": 99_000,
        "stock": 100,
        "productOptions": [{ "optionName": "colour", "optionValue": "black", "optionPrice": 0 }],
        "categoryCode": 2000,
        "saleStartTime": starts_at,
        "saleEndTime": starts_at + chrono::TimeDelta::days(1),
    })
}

/// Registers a sale through the public gateway as the demo seller.
pub(crate) async fn register(stack: &Stack, agent: &Agent, terms: Terms) -> anyhow::Result<Sale> {
    let gateway = &stack.gateways()[0];
    let Seller { token, company } = enter(stack, agent).await?;
    let now = Clock::system().now().trunc_subsecs(0);
    let ahead_s = if terms.ahead_s == 0 { -BEGAN_S } else { terms.ahead_s.into() };
    let starts_at = now + chrono::TimeDelta::seconds(ahead_s);
    let queue = QueuePolicy {
        count: terms.count,
        interval_s: terms.interval_s,
        admission_delay_s: terms.delay_s,
        capacity: terms.capacity,
        ..QueuePolicy::default()
    };
    let call = Call::post(format!("{gateway}/api/products")).bearer(&token).json(&json!({
        "companyId": company,
        "productName": "Headphones, first edition",
        "description": "Numbered, sold once.",
        "originalPrice": 129_000,
        "discountedPrice": 99_000,
        "stock": terms.units,
        "productOptions": [
            { "optionName": "colour", "optionValue": "black", "optionPrice": 0 },
            { "optionName": "colour", "optionValue": "silver", "optionPrice": 5_000 },
        ],
        "categoryCode": 2000,
        "saleStartTime": starts_at,
        "saleEndTime": starts_at + chrono::TimeDelta::seconds(LASTS_S),
        "purchaseLimit": terms.limit,
        "images": [],
        "queue": queue,
    }));
    let product: ProductView = agent.send(&call).await?.success("registering the product")?;
    let opens_at = starts_at + chrono::TimeDelta::seconds(i64::from(terms.delay_s));
    Ok(Sale { product: product.summary.product_id, opens_at, terms, seller: token })
}

/// Waits until every gateway's waiting room knows the product.
pub(crate) async fn joinable(stack: &Stack, agent: &Agent, sale: &Sale, login: &Login) -> anyhow::Result<()> {
    let wait = async {
        for gateway in stack.gateways() {
            let call = Call::get(format!("{gateway}/api/queue/{}", sale.product)).bearer(&login.token);
            while !agent.send(&call).await.is_ok_and(|answer| answer.success::<Place>("place").is_ok()) {
                tokio::time::sleep(ROOM_POLL).await;
            }
        }
    };
    tokio::time::timeout(ROOM_WITHIN, wait).await.with_context(|| {
        format!(
            "product {} has no waiting room {} s after its registration",
            sale.product,
            ROOM_WITHIN.as_secs()
        )
    })
}

/// Opens admissions now, with the sale's own timetable, as its seller does it.
pub(crate) async fn open(stack: &Stack, agent: &Agent, sale: &Sale) -> anyhow::Result<()> {
    let url = format!("{}/api/queue/{}/schedule", stack.gateways()[0], sale.product);
    let wish = json!({
        "count": sale.terms.count,
        "intervalS": sale.terms.interval_s,
        "startsAt": Clock::system().now().trunc_subsecs(0),
    });
    let call = Call::put(url).bearer(&sale.seller).json(&wish);
    agent.send(&call).await?.success::<ScheduleView>("opening admissions")?;
    Ok(())
}

/// Withdraws the product, so that its waiting room closes and costs nothing any more.
pub(crate) async fn withdraw(stack: &Stack, agent: &Agent, sale: &Sale) -> anyhow::Result<()> {
    let url = format!("{}/api/products/{}", stack.gateways()[0], sale.product);
    let answer = agent.send(&Call::delete(url).bearer(&sale.seller)).await?;
    ensure!(answer.status.is_success(), "withdrawing the product: {}", answer.outcome());
    Ok(())
}
