//! Paths, authentication, idempotency and error bodies of the provider.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::faults::{Fault, Faults};
use super::store::{Checkout, Refused, Replay, Shop};
use super::{App, page};

/// Longest `Idempotency-Key`, in bytes.
const KEY_MAX_BYTES: usize = 300;

pub(super) fn routes(app: App) -> Router {
    let provider = Router::new()
        .route("/v1/payments/confirm", post(confirm))
        .route("/v1/payments/{payment_key}", get(by_key))
        .route("/v1/payments/orders/{order_id}", get(by_order))
        .route("/v1/payments/{payment_key}/cancel", post(cancel))
        .layer(middleware::from_fn_with_state(app.clone(), authorized));
    Router::new()
        .merge(provider)
        // What the shopper's browser does on the provider's page: no secret key there.
        .route("/sandbox/checkouts", post(check_out))
        .route("/sandbox/checkout", get(page::show).post(page::choose))
        .route("/sandbox/payments", get(list))
        .route("/sandbox/faults", put(set_faults).get(faults))
        .fallback(|| async { Refused::new(404, "NOT_FOUND", "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            Refused::new(405, "METHOD_NOT_ALLOWED", "this path does not take that method")
        })
        .with_state(app)
}

/// The header that a shop with this key sends: the key as user name, an empty password.
pub(super) fn authorization(secret_key: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{secret_key}:")))
}

async fn authorized(State(app): State<App>, request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
    if given != Some(app.authorization.as_bytes()) {
        return Refused::new(401, "UNAUTHORIZED_KEY", "not the secret key of this shop").into_response();
    }
    // Before anything else is looked at, as the provider does with test keys.
    if let Some(code) = request.headers().get("tosspayments-test-code") {
        return test_code(code.to_str().unwrap_or_default()).into_response();
    }
    next.run(request).await
}

/// The refusal with the code that the shop wants to see.
fn test_code(code: &str) -> Answer {
    let status = match code {
        "UNAUTHORIZED_KEY" => 401,
        "IDEMPOTENT_REQUEST_PROCESSING" => 409,
        code if code.starts_with("NOT_FOUND_") => 404,
        code if code.contains("INTERNAL_SYSTEM_PROCESSING") || code == "UNKNOWN_PAYMENT_ERROR" => 500,
        code if code.starts_with("REJECT_")
            || code.starts_with("NOT_")
            || code.starts_with("EXCEED_MAX_")
            || code.starts_with("FORBIDDEN_")
            || matches!(code, "FDS_ERROR" | "INVALID_PASSWORD" | "INCORRECT_BASIC_AUTH_FORMAT") =>
        {
            403
        }
        _ => 400,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Answer { status, body: json!({"code": code, "message": "asked for by TossPayments-Test-Code"}) }
}

/// `PUT /sandbox/faults` → 200 with what goes wrong from now on.
async fn set_faults(State(app): State<App>, body: Bytes) -> Result<axum::Json<Faults>, Refused> {
    let faults: Faults = read(&body)?;
    faults.check().map_err(|rule| Refused::new(400, "INVALID_REQUEST", rule))?;
    app.faults().set(faults);
    Ok(axum::Json(faults))
}

async fn faults(State(app): State<App>) -> axum::Json<Faults> {
    axum::Json(app.faults().faults())
}

async fn confirm(State(app): State<App>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let now = app.clock.now();
    once(&app, &uri, &headers, |shop| shop.confirm(read(&body)?, now)).await
}

async fn cancel(
    State(app): State<App>,
    Path(payment_key): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = app.clock.now();
    once(&app, &uri, &headers, |shop| shop.cancel(&payment_key, read(&body)?, now)).await
}

async fn by_key(State(app): State<App>, Path(payment_key): Path<String>) -> Response {
    let now = app.clock.now();
    answer(app.shop().by_key(&payment_key, now)).into_response()
}

async fn by_order(State(app): State<App>, Path(order_id): Path<String>) -> Response {
    let now = app.clock.now();
    answer(app.shop().by_order(&order_id, now)).into_response()
}

/// `POST /sandbox/checkouts` → 201 `{paymentKey}`.
async fn check_out(State(app): State<App>, body: Bytes) -> Result<(StatusCode, axum::Json<Value>), Refused> {
    let checkout: Checkout = read(&body)?;
    let now = app.clock.now();
    let payment_key = app.shop().check_out(checkout, now)?;
    Ok((StatusCode::CREATED, axum::Json(json!({"paymentKey": payment_key}))))
}

/// `GET /sandbox/payments` → 200 `{items}`, oldest first.
async fn list(State(app): State<App>) -> Response {
    let now = app.clock.now();
    let mut shop = app.shop();
    axum::Json(json!({"items": shop.all(now)})).into_response()
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::new(400, "INVALID_REQUEST", error.to_string()))
}

/// What a client gets, and gets again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    status: StatusCode,
    body: Value,
}

fn answer<T: Serialize>(result: Result<T, Refused>) -> Answer {
    match result {
        Ok(thing) => Answer { status: StatusCode::OK, body: json!(thing) },
        Err(refused) => Answer { status: refused.status, body: refused.body() },
    }
}

/// Does `work` once per key, path and method: whoever asks again gets the first answer, whatever the body; 409 while
/// the first one still waits for it.
async fn once<T: Serialize>(
    app: &App,
    uri: &Uri,
    headers: &HeaderMap,
    work: impl FnOnce(&mut Shop) -> Result<T, Refused>,
) -> Response {
    let key = match idempotency_key(headers) {
        Ok(key) => key.map(|key| (key, format!("POST {}", uri.path()))),
        Err(refused) => return refused.into_response(),
    };
    let due = Instant::now() + app.delay;
    let (answered, fault) = {
        let mut shop = app.shop();
        match key.as_ref().and_then(|key| shop.replays.get(key)) {
            Some(replay) if replay.due > Instant::now() => {
                let text = "a request with this key is still being processed";
                return Refused::new(409, "IDEMPOTENT_REQUEST_PROCESSING", text).into_response();
            }
            Some(replay) => return replay.answer.clone().into_response(),
            None => {}
        }
        let mut answered = answer(work(&mut shop));
        // Only what took effect can be lost.
        let fault = if answered.status == StatusCode::OK { app.faults().roll() } else { None };
        if fault == Some(Fault::Fail) {
            let text = "done, but nobody is told";
            answered = answer::<()>(Err(Refused::new(500, "FAILED_INTERNAL_SYSTEM_PROCESSING", text)));
        }
        if let Some(key) = key {
            shop.replays.insert(key, Replay { due, answer: answered.clone() });
        }
        let changed = std::mem::take(&mut shop.changed);
        drop(shop);
        app.webhooks.tell(&changed, app.clock.now(), &mut app.faults());
        (answered, fault)
    };
    sleep_until(due).await;
    match fault {
        Some(Fault::Drop) => {
            let broken = std::io::Error::other("the connection is dropped");
            Body::from_stream(futures::stream::once(async { Err::<Bytes, _>(broken) })).into_response()
        }
        Some(Fault::Slow(pause)) => {
            tokio::time::sleep(pause).await;
            answered.into_response()
        }
        Some(Fault::Fail) | None => answered.into_response(),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=KEY_MAX_BYTES).contains(&key.len()));
    let text = "1 to 300 visible ASCII characters";
    key.map(|key| Some(key.to_owned())).ok_or_else(|| Refused::new(400, "INVALID_IDEMPOTENCY_KEY", text))
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, axum::Json(self.body)).into_response()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, axum::Json(self.body())).into_response()
    }
}
