//! A product service that knows the products it was given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Duration;
use common::stop::Stop;
use common::wire::Time;
use common::wire::dead_letter::{DeadLetter, DeadLetters};
use common::wire::event::STOCK_COMMANDS;
use common::wire::id::{CompanyId, OptionId, ProductId, UserId};
use common::wire::money::Won;
use common::wire::product::{OptionView, ProductSnapshot, QueuePolicy};
use common::wire::token::{ASSERTION_HEADER, Role};
use tokio::net::TcpListener;
use uuid::Uuid;

pub(crate) struct Shop {
    pub(crate) url: String,
    products: Products,
    letters: Letters,
}

type Products = Arc<Mutex<HashMap<i64, ProductSnapshot>>>;
type Letters = Arc<Mutex<Vec<DeadLetter>>>;

impl Shop {
    pub(crate) async fn start(stop: &Stop) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (products, letters) = (Products::default(), Letters::default());
        let router = Router::new()
            .route("/api/admin/dead-letters", get(list_letters))
            .route("/api/admin/dead-letters/{id}", get(show_letter))
            .route("/api/admin/dead-letters/{id}/redrive", post(redrive_letter))
            .with_state(Arc::clone(&letters))
            .route("/internal/products/{id}/snapshot", get(snapshot))
            .with_state(Arc::clone(&products));
        stop.spawn("shop", common::http::serve(listener, router, stop.clone()));
        Self { url, products, letters }
    }

    /// It could not use a command; returns the letter's id.
    pub(crate) fn keeps_letter(&self) -> Uuid {
        let letter = DeadLetter {
            letter_id: Uuid::now_v7(),
            topic: STOCK_COMMANDS.name.into(),
            partition: 0,
            offset: 5,
            key: "7".into(),
            reason: "no such type".into(),
            size: 2,
            created_at: chrono::DateTime::UNIX_EPOCH,
            redriven_at: None,
            redriven_by: None,
            body: None,
            text: None,
        };
        let id = letter.letter_id;
        self.letters.lock().unwrap().push(letter);
        id
    }

    pub(crate) fn sells(&self, product: ProductSnapshot) {
        self.products.lock().unwrap().insert(product.product_id.0, product);
    }
}

async fn snapshot(
    State(products): State<Products>,
    Path(id): Path<i64>,
    headers: HeaderMap,
) -> Result<Json<ProductSnapshot>, StatusCode> {
    if !headers.contains_key(common::wire::token::ASSERTION_HEADER) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    products.lock().unwrap().get(&id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn list_letters(
    State(letters): State<Letters>,
    Query(query): Query<HashMap<String, String>>,
) -> Json<DeadLetters> {
    let before: Option<Uuid> = query.get("cursor").map(|cursor| cursor.parse().unwrap());
    let letters = letters.lock().unwrap();
    let older = letters.iter().filter(|letter| before.is_none_or(|before| letter.letter_id < before));
    Json(DeadLetters { items: older.cloned().collect(), next: None })
}

async fn show_letter(
    State(letters): State<Letters>,
    Path(id): Path<Uuid>,
) -> Result<Json<DeadLetter>, StatusCode> {
    let found = letters.lock().unwrap().iter().find(|letter| letter.letter_id == id).cloned();
    found.map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn redrive_letter(
    letters: State<Letters>,
    id: Path<Uuid>,
    headers: HeaderMap,
) -> Result<Json<DeadLetter>, StatusCode> {
    let claims = headers.get(ASSERTION_HEADER).unwrap().to_str().unwrap().split('.').nth(1).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["role"], serde_json::json!(Role::Admin));
    let Json(letter) = show_letter(letters, id).await?;
    Ok(Json(DeadLetter { redriven_by: claims["sub"].as_str().map(str::to_owned), ..letter }))
}

/// A product on sale since ten seconds: 1,000 won, at most 5 per shopper. Product 9 has the option 91 for 500 won.
pub(crate) fn product(id: i64, now: Time) -> ProductSnapshot {
    let option = OptionView {
        option_id: OptionId(91),
        option_name: "colour".into(),
        option_value: "red".into(),
        option_price: Won(500),
    };
    ProductSnapshot {
        product_id: ProductId(id),
        version: 1,
        price_version: 3,
        company_id: CompanyId(1),
        seller_id: UserId(900),
        product_name: format!("product {id}"),
        original_price: Won(2_000),
        discounted_price: Won(1_000),
        product_options: if id == 9 { vec![option] } else { Vec::new() },
        sale_start_time: now - Duration::seconds(10),
        sale_end_time: now + Duration::hours(10),
        purchase_limit: 5,
        queue: QueuePolicy::default(),
        deleted: false,
        state: None,
        state_version: 0,
        changed_by: UserId(900),
    }
}
