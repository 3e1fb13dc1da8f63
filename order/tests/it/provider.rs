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
    /// Confirms whose payment key begins with `hang` wait for a permit.
    gate: Semaphore,
}

impl Provider {
    pub(crate) async fn start(stop: &Stop) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            payments: Mutex::default(),
            confirms: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let router = Router::new()
            .route("/v1/payments/confirm", post(confirm))
            .route("/v1/payments/{key}", get(find))
            .with_state(Arc::clone(&inner));
        stop.spawn("provider", common::http::serve(listener, router, stop.clone()));
        Self { url, inner }
    }

    pub(crate) fn confirms(&self) -> Vec<String> {
        self.inner.confirms.lock().unwrap().clone()
    }

    /// Lets one hanging confirm go on.
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
    let record = |status: &str| json!({"paymentKey": payment_key, "orderId": wish["orderId"], "status": status, "totalAmount": wish["amount"]});
    let keep = |record: Value| {
        inner.payments.lock().unwrap().insert(payment_key.clone(), record.clone());
        record
    };
    if payment_key.starts_with("hang") {
        keep(record("IN_PROGRESS"));
        inner.gate.acquire().await.unwrap().forget();
    }
    let kind = payment_key.trim_start_matches("hang-").split('-').next().unwrap();
    match kind {
        "approve" => Json(keep(record("DONE"))).into_response(),
        "decline" => {
            keep(record("ABORTED"));
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
        "gone" => (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        other => panic!("no behaviour is named {other}"),
    }
}

async fn find(State(inner): State<Arc<Inner>>, headers: HeaderMap, Path(key): Path<String>) -> Response {
    assert_eq!(headers["authorization"], AUTHORIZATION);
    match inner.payments.lock().unwrap().get(&key) {
        Some(record) => Json(record.clone()).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "NOT_FOUND_PAYMENT"),
    }
}

fn refuse(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({"code": code, "message": format!("said {code}")}))).into_response()
}
