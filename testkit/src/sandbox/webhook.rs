//! Tells the shop of payments that changed: again and again until it answers 200, in the provider's rhythm. The order of
//! messages is not kept, as with the real one.

use std::sync::Arc;
use std::time::Duration;

use common::stop::Stop;
use common::wire::Time;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use uuid::Uuid;

use super::faults::{Dice, Mishap};
use super::store::Payment;

/// Pauses before the retries, in minutes at the provider's own pace.
const PAUSES_MIN: [u64; 7] = [1, 4, 16, 64, 256, 1_024, 4_096];
/// The shop has this long to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A message that is to be overtaken waits this long.
const OVERTAKEN_AFTER: Duration = Duration::from_millis(400);

/// Sends messages, each in a task of its own.
#[derive(Debug, Clone)]
pub(super) struct Sender(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    url: Url,
    pace: f64,
    http: Client,
    stop: Stop,
}

impl Sender {
    /// A sender to the shop's address; without one nobody is told.
    pub(super) fn new(url: Option<String>, pace: f64, stop: Stop) -> anyhow::Result<Self> {
        let Some(url) = url.filter(|url| !url.is_empty()) else { return Ok(Self(None)) };
        let url = url.parse()?;
        let http = Client::builder().no_proxy().timeout(ANSWER_MAX).build()?;
        Ok(Self(Some(Arc::new(Inner { url, pace, http, stop }))))
    }

    /// Tells of payments as they stand.
    pub(super) fn tell(&self, changed: &[Payment], now: Time, dice: &mut Dice) {
        let Some(inner) = &self.0 else { return };
        for payment in changed {
            let body = json!({
                "eventType": "PAYMENT_STATUS_CHANGED",
                // The provider writes this one without a zone.
                "createdAt": now.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
                "data": payment,
            });
            let mishap = dice.roll_webhook();
            let id = Uuid::new_v4().to_string();
            for _ in 0..if mishap == Some(Mishap::Twice) { 2 } else { 1 } {
                let held = if mishap == Some(Mishap::Late) { OVERTAKEN_AFTER } else { Duration::ZERO };
                let task = Arc::clone(inner).deliver(id.clone(), body.clone(), held);
                inner.stop.spawn("webhook", task);
            }
        }
    }
}

impl Inner {
    async fn deliver(self: Arc<Self>, id: String, body: Value, held: Duration) {
        let mut pause = held;
        for (tries, next_min) in PAUSES_MIN.into_iter().map(Some).chain([None]).enumerate() {
            if !self.stop.pause(pause).await {
                return;
            }
            let request = self.http.post(self.url.clone()).json(&body);
            let request = request
                .header("tosspayments-webhook-transmission-id", &id)
                .header(
                    "tosspayments-webhook-transmission-time",
                    body["createdAt"].as_str().unwrap_or_default(),
                )
                .header("tosspayments-webhook-transmission-retried-count", tries);
            match request.send().await {
                Ok(answer) if answer.status() == reqwest::StatusCode::OK => return,
                Ok(answer) => tracing::info!(status = %answer.status(), tries, "webhook not taken"),
                Err(error) => tracing::info!(%error, tries, "webhook not delivered"),
            }
            let Some(minutes) = next_min else { return };
            pause = Duration::from_secs(minutes * 60).div_f64(self.pace);
        }
    }
}
