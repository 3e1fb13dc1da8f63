//! A payment provider that speaks the Toss API and fails in the ways the payment key names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use common::stop::Stop;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub(crate) const SECRET_KEY: &str = "test_sk_order";
/// `test_sk_order:` in base64.
const AUTHORIZATION: &str = "Basic dGVzdF9za19vcmRlcjo=";

#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    /// Payments by key.
    payments: Mutex<HashMap<String, Value>>,
    /// Idempotency keys of the confirms, in their order.
    confirms: Mutex<Vec<String>>,
    /// Payment keys that were asked about, in their order.
    finds: Mutex<Vec<String>>,
    /// Idempotency keys of the cancels, in their order.
    cancels: Mutex<Vec<String>>,
    /// Confirms whose payment key begins with `hang` wait for a permit, and answers about one that begins with `stall`.
    gate: Semaphore,
}

impl Provider {
    pub(crate) async fn start(stop: &Stop) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            payments: Mutex::default(),
            confirms: Mutex::default(),
            finds: Mutex::default(),
            cancels: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let router = Router::new()
            .route("/v1/payments/confirm", post(confirm))
            .route("/v1/payments/{key}", get(find))
            .route("/v1/payments/{key}/cancel", post(cancel))
            .with_state(Arc::clone(&inner));
        stop.spawn("provider", common::http::serve(listener, router, stop.clone()));
        Self { url, inner }
    }

    pub(crate) fn confirms(&self) -> Vec<String> {
        self.inner.confirms.lock().unwrap().clone()
    }

    pub(crate) fn finds(&self) -> Vec<String> {
        self.inner.finds.lock().unwrap().clone()
    }

    pub(crate) fn cancels(&self) -> Vec<String> {
        self.inner.cancels.lock().unwrap().clone()
    }

    /// Another ending than the one that was told.
    pub(crate) fn turns_out(&self, payment_key: &str, status: &str) {
        self.inner.payments.lock().unwrap().get_mut(payment_key).unwrap()["status"] = json!(status);
    }

    /// Lets one hanging confirm or answer go on.
    pub(crate) fn open_gate(&self) {
        self.inner.gate.add_permits(1);
    }
}

async fn confirm(State(inner): State<Arc<Inner>>, headers: HeaderMap, Json(wish): Json<Value>) -> Response {
    assert_eq!(headers["authorization"], AUTHORIZATION);
    let payment_key = wish["paymentKey"].as_str().unwrap().to_owned();
    let first = {
        let mut confirms = inner.confirms.lock().unwrap();
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        let first = !confirms.contains(&key);
        confirms.push(key);
        first
    };
    let record = |status: &str| json!({"paymentKey": payment_key, "orderId": wish["orderId"], "status": status, "totalAmount": wish["amount"], "balanceAmount": wish["amount"]});
    let keep = |record: Value| {
        inner.payments.lock().unwrap().insert(payment_key.clone(), record.clone());
        record
    };
    if payment_key.starts_with("hang") {
        keep(record("IN_PROGRESS"));
        inner.gate.acquire().await.unwrap().forget();
    }
    let kind =
        payment_key.trim_start_matches("hang-").trim_start_matches("stall-").split('-').next().unwrap();
    match kind {
        "approve" => Json(keep(record("DONE"))).into_response(),
        "decline" => {
            keep(record("ABORTED"));
            refuse(StatusCode::FORBIDDEN, "REJECT_CARD_PAYMENT")
        }
        // The answer says no, and the money is taken a moment later.
        "denied" => {
            keep(record("DONE"));
            refuse(StatusCode::FORBIDDEN, "REJECT_CARD_PAYMENT")
        }
        // The money is taken, but the answer says nothing about it.
        "lost" => {
            keep(record("DONE"));
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN_PAYMENT_ERROR")
        }
        "again" if first => {
            keep(record("IN_PROGRESS"));
            refuse(StatusCode::BAD_REQUEST, "PROVIDER_ERROR")
        }
        "again" => Json(keep(record("DONE"))).into_response(),
        // Nobody is ever told how it ended.
        "mute" => {
            keep(record("DONE"));
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN_PAYMENT_ERROR")
        }
        // Approved, and never given back.
        "keeps" => Json(keep(record("DONE"))).into_response(),
        "gone" => (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        other => panic!("no behaviour is named {other}"),
    }
}

async fn find(State(inner): State<Arc<Inner>>, headers: HeaderMap, Path(key): Path<String>) -> Response {
    assert_eq!(headers["authorization"], AUTHORIZATION);
    inner.finds.lock().unwrap().push(key.clone());
    let found = inner.payments.lock().unwrap().get(&key).cloned();
    if key.starts_with("stall") {
        inner.gate.acquire().await.unwrap().forget();
    }
    match found {
        Some(record) if key.contains("mute") && record["status"] == "DONE" => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "FAILED_INTERNAL_SYSTEM_PROCESSING")
        }
        Some(record) => Json(record).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "NOT_FOUND_PAYMENT"),
    }
}

async fn cancel(
    State(inner): State<Arc<Inner>>,
    headers: HeaderMap,
    Path(key): Path<String>,
    Json(wish): Json<Value>,
) -> Response {
    assert_eq!(headers["authorization"], AUTHORIZATION);
    assert!(wish["cancelReason"].as_str().is_some_and(|reason| !reason.is_empty()));
    inner.cancels.lock().unwrap().push(headers["idempotency-key"].to_str().unwrap().to_owned());
    if key.starts_with("keeps") {
        return refuse(StatusCode::FORBIDDEN, "NOT_CANCELABLE_PAYMENT");
    }
    let mut payments = inner.payments.lock().unwrap();
    let Some(record) = payments.get_mut(&key) else {
        return refuse(StatusCode::NOT_FOUND, "NOT_FOUND_PAYMENT");
    };
    let left = record["balanceAmount"].as_i64().unwrap() - wish["cancelAmount"].as_i64().unwrap_or(1_000);
    record["balanceAmount"] = json!(left);
    record["status"] = json!(if left == 0 { "CANCELED" } else { "PARTIAL_CANCELED" });
    Json(record.clone()).into_response()
}

fn refuse(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({"code": code, "message": format!("said {code}")}))).into_response()
}
