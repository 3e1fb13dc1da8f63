//! Which type of [`common::wire`] goes with which route. Bodies whose type belongs to one service alone are described by
//! the manual's words.

use common::wire::dead_letter::{DeadLetter, DeadLetters};
use common::wire::notice::{BoxView, SubscriptionView};
use common::wire::order::{AskRefund, OrderView, PlaceOrder, RefundView};
use common::wire::product::{CompanyView, ProductView};
use common::wire::queue::{AdmissionsView, Place, ScheduleView, Stats, TokenView};
use common::wire::room::{CapacityView, DrawView, HoldView, Insider, MessageView, Page, RevokedView, Waiter};
use common::wire::token::Jwks;
use common::wire::user::{AccountView, LoginView, UserView};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::routes::Route;

type Of = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

const REQUESTS: &[(&str, Of)] =
    &[("POST /api/orders", of::<PlaceOrder>), ("POST /api/orders/{id}/refunds", of::<AskRefund>)];

const ANSWERS: &[(&str, &str, Of)] = &[
    ("POST /api/auth/signup", "201", of::<UserView>),
    ("POST /api/auth/login", "200", of::<LoginView>),
    ("GET /.well-known/jwks.json", "200", of::<Jwks>),
    ("GET /api/users/me", "200", of::<UserView>),
    ("PATCH /api/users/me", "200", of::<UserView>),
    ("GET /api/users/{id}", "200", of::<AccountView>),
    ("PATCH /api/users/{id}", "200", of::<AccountView>),
    ("POST /api/companies", "201", of::<CompanyView>),
    ("GET /api/companies/{id}", "200", of::<CompanyView>),
    ("PUT /api/companies/{id}", "200", of::<CompanyView>),
    ("POST /api/products", "201", of::<ProductView>),
    ("GET /api/products/{id}", "200", of::<ProductView>),
    ("PUT /api/products/{id}", "200", of::<ProductView>),
    ("POST /api/notifications/read", "200", of::<BoxView>),
    ("POST /api/products/{id}/subscription", "201", of::<SubscriptionView>),
    ("GET /api/products/{id}/subscription", "200", of::<SubscriptionView>),
    ("POST /api/queue/{productId}", "200", of::<Place>),
    ("GET /api/queue/{productId}", "200", of::<Place>),
    ("POST /api/queue/{productId}/token", "200", of::<TokenView>),
    ("GET /api/queue/{productId}/waiting", "200", of::<Page<Waiter>>),
    ("GET /api/queue/{productId}/admitted", "200", of::<Page<Insider>>),
    ("GET /api/queue/{productId}/stats", "200", of::<Stats>),
    ("POST /api/queue/{productId}/admissions", "200", of::<AdmissionsView>),
    ("PUT /api/queue/{productId}/schedule", "200", of::<ScheduleView>),
    ("DELETE /api/queue/{productId}/schedule", "200", of::<ScheduleView>),
    ("POST /api/queue/{productId}/hold", "200", of::<HoldView>),
    ("POST /api/queue/{productId}/resume", "200", of::<HoldView>),
    ("POST /api/queue/{productId}/message", "200", of::<MessageView>),
    ("POST /api/queue/{productId}/revoke", "200", of::<RevokedView>),
    ("PUT /api/queue/{productId}/capacity", "200", of::<CapacityView>),
    ("GET /api/queue/{productId}/draw", "200", of::<DrawView>),
    ("POST /api/orders", "202", of::<OrderView>),
    ("GET /api/orders/{id}", "200", of::<OrderView>),
    ("POST /api/orders/{id}/refunds", "200", of::<RefundView>),
    ("GET /api/admin/dead-letters", "200", of::<DeadLetters>),
    ("GET /api/admin/dead-letters/{id}", "200", of::<DeadLetter>),
    ("POST /api/admin/dead-letters/{id}/redrive", "200", of::<DeadLetter>),
];

/// What the route takes.
pub(super) fn request(route: &Route, schemas: &mut SchemaGenerator) -> Option<Schema> {
    let name = format!("{} {}", route.method, route.pattern);
    REQUESTS.iter().find(|(of, _)| *of == name).map(|(_, body)| body(schemas))
}

/// The status, or class of it, and the body of its answer.
pub(super) fn answer(route: &Route, schemas: &mut SchemaGenerator) -> (&'static str, Option<Schema>) {
    let name = format!("{} {}", route.method, route.pattern);
    let found = ANSWERS.iter().find(|(of, ..)| *of == name);
    found.map_or(("2XX", None), |(_, status, body)| (status, Some(body(schemas))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::TABLE;

    #[test]
    fn every_row_here_is_a_route() {
        let rows = REQUESTS.iter().map(|(name, _)| *name).chain(ANSWERS.iter().map(|(name, ..)| *name));
        for name in rows {
            let is_route = TABLE.iter().any(|route| format!("{} {}", route.method, route.pattern) == name);
            assert!(is_route, "{name}");
        }
    }
}
