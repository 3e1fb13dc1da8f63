//! Which types of [`common::wire`] go with which route: one row for each.

use common::wire::catalog::{
    AdjustmentView, CategoryWish, CompanyWish, ImportView, ImportWish, OwnView, PopularView, ProductWish,
    SaleView, SearchView, StockWish,
};
use common::wire::dead_letter::{DeadLetter, DeadLetters};
use common::wire::id::OrderId;
use common::wire::list::{Listing, Page};
use common::wire::notice::{BoxView, MarkRead, Notices, SubscriptionView};
use common::wire::operate::{Admissions, Capacity, Hold, Message, Revoke, Timetable, Why};
use common::wire::order::{
    AskRefund, CheckoutView, OrderView, PayOrder, PaymentView, PlaceOrder, RefundView,
};
use common::wire::product::{CategoryView, CompanyView, ImageView, LikeView, ProductSummary, ProductView};
use common::wire::queue::{AdmissionsView, Place, ScheduleView, Stats, TokenView};
use common::wire::room::{CapacityView, DrawView, HoldView, Insider, MessageView, RevokedView, Waiter};
use common::wire::token::Jwks;
use common::wire::user::{
    AccountChange, AccountView, Bearer, LogIn, LoginView, NewPassword, ProfileChange, SessionView, SignUp,
    UserView,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::routes::Route;

type Of = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

/// What is in a body, each by its media type. Where JSON stands twice, it is one or the other.
type Body = &'static [Kind];

#[derive(Clone, Copy)]
enum Kind {
    Json(Of),
    /// Anything, of this media type.
    Other(&'static str),
}

use Kind::{Json, Other};

const NONE: Body = &[];
const EVENTS: Body = &[Other("text/event-stream")];
const PAGE: Body = &[Other("text/html")];
const FORM: Body = &[Other("application/x-www-form-urlencoded")];

/// Route, what it takes, the statuses of its answers, and what those hold that may hold something.
type Row = (&'static str, Body, &'static str, Body);

const ROWS: &[Row] = &[
    ("POST /api/auth/signup", &[Json(of::<SignUp>)], "201", &[Json(of::<UserView>)]),
    ("POST /api/auth/login", &[Json(of::<LogIn>)], "200", &[Json(of::<LoginView>)]),
    ("POST /api/auth/refresh", &[Json(of::<Bearer>)], "200 204", &[Json(of::<LoginView>)]),
    ("GET /api/auth/refresh", NONE, "303", NONE),
    ("POST /api/auth/logout", &[Json(of::<Bearer>)], "204", NONE),
    ("GET /api/auth/sessions", NONE, "200", &[Json(of::<Listing<SessionView>>)]),
    ("DELETE /api/auth/sessions/{sid}", NONE, "204", NONE),
    ("POST /api/auth/password", &[Json(of::<NewPassword>)], "204", NONE),
    ("GET /.well-known/jwks.json", NONE, "200", &[Json(of::<Jwks>)]),
    ("GET /api/users/me", NONE, "200", &[Json(of::<UserView>)]),
    ("PATCH /api/users/me", &[Json(of::<ProfileChange>)], "200", &[Json(of::<UserView>)]),
    ("DELETE /api/users/me", NONE, "204", NONE),
    ("GET /api/users", NONE, "200", &[Json(of::<Listing<AccountView>>)]),
    ("GET /api/users/{id}", NONE, "200", &[Json(of::<AccountView>)]),
    ("PATCH /api/users/{id}", &[Json(of::<AccountChange>)], "200", &[Json(of::<AccountView>)]),
    ("DELETE /api/users/{id}", NONE, "204", NONE),
    ("GET /api/companies", NONE, "200", &[Json(of::<Listing<CompanyView>>)]),
    ("POST /api/companies", &[Json(of::<CompanyWish>)], "201", &[Json(of::<CompanyView>)]),
    ("GET /api/companies/{id}", NONE, "200", &[Json(of::<CompanyView>)]),
    ("PUT /api/companies/{id}", &[Json(of::<CompanyWish>)], "200", &[Json(of::<CompanyView>)]),
    ("DELETE /api/companies/{id}", NONE, "204", NONE),
    ("GET /api/categories", NONE, "200", &[Json(of::<Vec<CategoryView>>)]),
    ("POST /api/categories", &[Json(of::<CategoryWish>)], "201", &[Json(of::<CategoryView>)]),
    ("PUT /api/categories/{code}", &[Json(of::<CategoryWish>)], "200", &[Json(of::<CategoryView>)]),
    ("DELETE /api/categories/{code}", NONE, "204", NONE),
    ("GET /api/products", NONE, "200", &[Json(of::<SearchView>)]),
    ("POST /api/products", &[Json(of::<ProductWish>)], "201", &[Json(of::<ProductView>)]),
    ("GET /api/products/popular", NONE, "200", &[Json(of::<PopularView>)]),
    ("GET /api/products/{id}", NONE, "200", &[Json(of::<ProductView>)]),
    ("PUT /api/products/{id}", &[Json(of::<ProductWish>)], "200", &[Json(of::<ProductView>)]),
    ("DELETE /api/products/{id}", NONE, "204", NONE),
    ("GET /api/products/{id}/summary", NONE, "200", &[Json(of::<ProductSummary>)]),
    ("POST /api/products/{id}/stock", &[Json(of::<StockWish>)], "202", &[Json(of::<AdjustmentView>)]),
    ("POST /api/images", &[Other("image/*")], "201", &[Json(of::<ImageView>)]),
    ("GET /images/{key}", NONE, "200", &[Other("image/*")]),
    (
        "POST /api/products/import",
        &[Other("text/csv"), Json(of::<ImportWish>)],
        "202",
        &[Json(of::<ImportView>)],
    ),
    ("GET /api/products/import/{id}", NONE, "200", &[Json(of::<ImportView>)]),
    ("POST /api/products/{id}/like", NONE, "200", &[Json(of::<LikeView>)]),
    ("DELETE /api/products/{id}/like", NONE, "200", &[Json(of::<LikeView>)]),
    ("GET /api/products/{id}/like", NONE, "200", &[Json(of::<LikeView>)]),
    ("POST /api/products/{id}/subscription", NONE, "200 201", &[Json(of::<SubscriptionView>)]),
    ("DELETE /api/products/{id}/subscription", NONE, "204", NONE),
    ("GET /api/products/{id}/subscription", NONE, "200", &[Json(of::<SubscriptionView>)]),
    ("GET /api/subscriptions", NONE, "200", &[Json(of::<Page<SubscriptionView, i64>>)]),
    ("GET /api/notifications", NONE, "200", &[Json(of::<Notices>)]),
    ("GET /api/notifications/live", NONE, "200", EVENTS),
    ("POST /api/notifications/read", &[Json(of::<MarkRead>)], "200", &[Json(of::<BoxView>)]),
    ("GET /api/queue", NONE, "200", &[Json(of::<Page<Stats>>)]),
    ("POST /api/queue/{productId}", NONE, "200", &[Json(of::<Place>)]),
    ("GET /api/queue/{productId}", NONE, "200", &[Json(of::<Place>)]),
    ("DELETE /api/queue/{productId}", NONE, "204", NONE),
    ("GET /api/queue/{productId}/live", NONE, "200", EVENTS),
    ("POST /api/queue/{productId}/token", NONE, "200", &[Json(of::<TokenView>)]),
    ("GET /api/queue/{productId}/waiting", NONE, "200", &[Json(of::<Page<Waiter>>)]),
    ("GET /api/queue/{productId}/admitted", NONE, "200", &[Json(of::<Page<Insider>>)]),
    ("GET /api/queue/{productId}/stats", NONE, "200", &[Json(of::<Stats>)]),
    (
        "POST /api/queue/{productId}/admissions",
        &[Json(of::<Admissions>)],
        "200",
        &[Json(of::<AdmissionsView>)],
    ),
    ("PUT /api/queue/{productId}/schedule", &[Json(of::<Timetable>)], "200", &[Json(of::<ScheduleView>)]),
    ("DELETE /api/queue/{productId}/schedule", NONE, "200", &[Json(of::<ScheduleView>)]),
    ("POST /api/queue/{productId}/hold", &[Json(of::<Hold>)], "200", &[Json(of::<HoldView>)]),
    ("POST /api/queue/{productId}/resume", &[Json(of::<Why>)], "200", &[Json(of::<HoldView>)]),
    ("POST /api/queue/{productId}/message", &[Json(of::<Message>)], "200", &[Json(of::<MessageView>)]),
    ("POST /api/queue/{productId}/revoke", &[Json(of::<Revoke>)], "200", &[Json(of::<RevokedView>)]),
    ("PUT /api/queue/{productId}/capacity", &[Json(of::<Capacity>)], "200", &[Json(of::<CapacityView>)]),
    ("GET /api/queue/{productId}/draw", NONE, "200", &[Json(of::<DrawView>)]),
    ("POST /api/orders", &[Json(of::<PlaceOrder>)], "202", &[Json(of::<OrderView>)]),
    ("GET /api/orders", NONE, "200", &[Json(of::<Page<OrderView, OrderId>>)]),
    ("GET /api/orders/{id}", NONE, "200", &[Json(of::<OrderView>)]),
    ("GET /api/orders/{id}/live", NONE, "200", EVENTS),
    ("POST /api/orders/{id}/cancel", NONE, "200 202", &[Json(of::<OrderView>)]),
    (
        "POST /api/orders/{id}/payment",
        &[Json(of::<PayOrder>)],
        "200 202",
        &[Json(of::<CheckoutView>), Json(of::<PaymentView>)],
    ),
    ("POST /api/orders/{id}/refunds", &[Json(of::<AskRefund>)], "200 202", &[Json(of::<RefundView>)]),
    // Each provider has its own.
    ("POST /api/payments/webhooks/{provider}", &[Json(of::<Value>)], "200", NONE),
    ("GET /api/admin/dead-letters", NONE, "200", &[Json(of::<DeadLetters>)]),
    ("GET /api/admin/dead-letters/{id}", NONE, "200", &[Json(of::<DeadLetter>)]),
    ("POST /api/admin/dead-letters/{id}/redrive", NONE, "200", &[Json(of::<DeadLetter>)]),
    ("GET /api/seller/products", NONE, "200", &[Json(of::<Page<OwnView>>)]),
    ("GET /api/seller/products/{id}/sale", NONE, "200", &[Json(of::<SaleView>)]),
    ("GET /api/seller/products/{id}/sale/live", NONE, "200", EVENTS),
    ("GET /api/seller/products/{id}/sale/results.csv", NONE, "200", &[Other("text/csv")]),
    ("POST /login", FORM, "303", NONE),
    ("GET /queue/{productId}/plain", NONE, "200 303", PAGE),
    ("POST /queue/{productId}/plain", FORM, "303", NONE),
];

/// What they take may be left out: a browser has its login in cookies, and a payment without words asks where to pay.
const OPTIONAL: &[&str] =
    &["POST /api/auth/refresh", "POST /api/auth/logout", "POST /api/orders/{id}/payment"];

fn row(route: &Route) -> Option<&'static Row> {
    let name = format!("{} {}", route.method, route.pattern);
    ROWS.iter().find(|(of, ..)| *of == name)
}

/// What the route takes, as the request's body; `None` where nothing is taken.
pub(super) fn request(route: &Route, schemas: &mut SchemaGenerator) -> Option<Value> {
    let (name, body, ..) = row(route)?;
    let is_required = !OPTIONAL.contains(name);
    content(body, schemas).map(|content| json!({"required": is_required, "content": content}))
}

/// Its answers, each with its status and what it holds, by media type.
pub(super) fn answers(route: &Route, schemas: &mut SchemaGenerator) -> Vec<(&'static str, Option<Value>)> {
    let Some((.., statuses, body)) = row(route) else { return Vec::new() };
    let content = content(body, schemas);
    let answer = |status| (status, content.clone().filter(|_| !is_bare(status)));
    statuses.split(' ').map(answer).collect()
}

/// Whether answers of this status hold nothing.
fn is_bare(status: &str) -> bool {
    matches!(status, "204" | "303")
}

fn content(body: Body, schemas: &mut SchemaGenerator) -> Option<Value> {
    let json = body.iter().filter_map(|kind| match kind {
        Json(of) => Some(of(schemas).to_value()),
        Other(_) => None,
    });
    let mut json: Vec<Value> = json.collect();
    let json = if json.len() > 1 { Some(json!({"oneOf": json})) } else { json.pop() };
    let json = json.map(|schema| ("application/json".to_owned(), json!({"schema": schema})));
    let other = body.iter().filter_map(|kind| match kind {
        Other(media) => Some(((*media).to_owned(), json!({}))),
        Json(_) => None,
    });
    let all: Map<String, Value> = other.chain(json).collect();
    (!all.is_empty()).then(|| all.into())
}

#[cfg(test)]
mod tests {
    use super::super::is_described;
    use super::*;
    use crate::routes::TABLE;

    #[test]
    fn every_route_has_its_row_and_every_row_its_route() {
        for route in TABLE.iter().filter(|route| is_described(route)) {
            assert!(row(route).is_some(), "{} {}", route.method, route.pattern);
        }
        for (name, ..) in ROWS {
            let routes = TABLE.iter().filter(|route| format!("{} {}", route.method, route.pattern) == *name);
            assert_eq!(routes.count(), 1, "{name}");
        }
        assert!(OPTIONAL.iter().all(|name| ROWS.iter().any(|(of, ..)| of == name)));
        let mut names: Vec<_> = ROWS.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }

    #[test]
    fn an_answer_without_a_body_says_so_by_its_status() {
        for (name, _, statuses, body) in ROWS {
            // Providers look at the status alone.
            let is_hint = name.starts_with("POST /api/payments/webhooks");
            assert_eq!(body.is_empty(), is_hint || statuses.split(' ').all(is_bare), "{name}");
        }
    }

    #[test]
    fn only_streams_are_event_streams() {
        for route in TABLE.iter().filter(|route| is_described(route)) {
            let answers = answers(route, &mut SchemaGenerator::default());
            let is_stream = |body: &Value| body["text/event-stream"].is_object();
            let streams = answers.iter().any(|(_, body)| body.as_ref().is_some_and(is_stream));
            assert_eq!(streams, route.is_stream(), "{}", route.pattern);
        }
    }
}
