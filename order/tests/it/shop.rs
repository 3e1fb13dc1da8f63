//! A product service that knows the products it was given.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use chrono::Duration;
use common::stop::Stop;
use common::wire::Time;
use common::wire::id::{CompanyId, OptionId, ProductId, UserId};
use common::wire::money::Won;
use common::wire::product::{OptionView, ProductSnapshot, QueuePolicy};
use tokio::net::TcpListener;

pub(crate) struct Shop {
    pub(crate) url: String,
    products: Products,
}

type Products = Arc<Mutex<HashMap<i64, ProductSnapshot>>>;

impl Shop {
    pub(crate) async fn start(stop: &Stop) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let products = Products::default();
        let router = Router::new()
            .route("/internal/products/{id}/snapshot", get(snapshot))
            .with_state(Arc::clone(&products));
        stop.spawn("shop", common::http::serve(listener, router, stop.clone()));
        Self { url, products }
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
