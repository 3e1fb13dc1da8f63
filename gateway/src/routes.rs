//! Every public URL: where it leads, who may use it, how large its body may be and how long it may take.
//!
//! A row without a rule cannot be written. What is not in here is not reachable from outside: neither the services'
//! inside routes nor anybody's /livez, /readyz and /metrics. Whose product, order or company it is, the service
//! behind decides; here stands what can be decided by the tokens alone.

use std::time::Duration;

use common::wire::token::Role;
use http::Method;

use crate::rate::Rate;

use Rule::{AnyPass, Anyone, Login, Pass, Roles, Visitor};
use To::{Assets, File, Jwks, Order, Product, Queue, User};

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum To {
    /// The user service.
    User,
    /// The product service.
    Product,
    /// The order service.
    Order,
    /// The waiting room.
    Queue,
    /// The issuers' public keys, answered here.
    Jwks,
    /// The static pages, answered here.
    Assets,
    /// This one of the static pages, whatever the path: the same bytes for everybody.
    File(&'static str),
}

impl To {
    /// Name of the service in figures; `None` for what the gateway answers itself.
    #[must_use]
    pub const fn service(self) -> Option<&'static str> {
        match self {
            To::User => Some("user"),
            To::Product => Some("product"),
            To::Order => Some("order"),
            To::Queue => Some("queue-server"),
            To::Jwks | To::Assets | To::File(_) => None,
        }
    }
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everybody. Tokens are neither looked at nor passed on, so that a stale one is no obstacle.
    Anyone,
    /// Everybody; the service is told who it is where a valid login came along. For pages that offer the login
    /// themselves.
    Visitor,
    /// Whoever is logged in.
    Login,
    /// Whoever is logged in with one of these roles, or as ADMIN.
    Roles(&'static [Role]),
    /// The holder of an access token for the product `{id}` of the path; SELLER and ADMIN may come without, as the
    /// product service checks that it is theirs.
    Pass,
    /// The holder of an access token for any product; the order service checks that the tokens cover the lines.
    AnyPass,
}

/// One row of the table.
#[derive(Debug)]
pub struct Route {
    /// The method. HEAD is answered wherever GET is.
    pub method: Method,
    /// The path; `{name}` stands for one segment, `{*name}` for all that is left.
    pub pattern: &'static str,
    /// Where it leads.
    pub to: To,
    /// Who may use it.
    pub rule: Rule,
    /// Largest body in bytes.
    pub body_max: u64,
    /// From the end of the request to the head of its answer, and between two pieces of the answer. `None`
    /// for streams, which end when either side does.
    pub deadline: Option<Duration>,
    /// How often one account, and one address, may ask.
    pub rate: Rate,
    /// The service gets the cookies of [`LOGIN_PATH`](common::http::cookie::LOGIN_PATH), and our word for the client's
    /// address where no login speaks for the request.
    pub of_login: bool,
    /// The service takes many of these at once: how long one of them took says nothing of its load.
    pub is_batched: bool,
}

/// Bodies are JSON of some kilobytes; only uploads need more.
const BODY_MAX: u64 = 1 << 20;
/// Longer than any service takes with all its own time limits (the longest is a lock on an idempotency key, 2 s).
const DEADLINE: Duration = Duration::from_secs(10);

impl Route {
    const fn new(method: Method, pattern: &'static str, to: To, rule: Rule) -> Self {
        let rate = match to {
            To::Assets | To::File(_) => Rate::Page,
            _ => Rate::Browse,
        };
        Self {
            method,
            pattern,
            to,
            rule,
            body_max: BODY_MAX,
            deadline: Some(DEADLINE),
            rate,
            of_login: false,
            is_batched: false,
        }
    }

    /// Whether it is for shoppers who were let in: what they came for goes before what others only look at.
    #[must_use]
    pub const fn is_in(&self) -> bool {
        matches!(self.rule, Pass | AnyPass) || matches!(self.rate, Rate::Buy)
    }

    /// Whether it is a stream; only those may become a WebSocket.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.deadline.is_none()
    }

    /// The route counts as that.
    const fn rate(mut self, rate: Rate) -> Self {
        self.rate = rate;
        self
    }

    /// The route takes larger bodies.
    const fn body_max(mut self, bytes: u64) -> Self {
        self.body_max = bytes;
        self
    }

    /// The route may take longer.
    const fn within_s(mut self, seconds: u64) -> Self {
        self.deadline = Some(Duration::from_secs(seconds));
        self
    }

    /// The service takes many of these at once, and refuses what is too much.
    const fn batched(mut self) -> Self {
        self.is_batched = true;
        self
    }

    /// The route begins a login, goes on with it or ends it.
    const fn of_login(mut self) -> Self {
        self.of_login = true;
        self
    }

    /// The route is a stream: of events, or a WebSocket where its service opens one.
    const fn live(mut self) -> Self {
        self.deadline = None;
        self
    }
}

const fn get(pattern: &'static str, to: To, rule: Rule) -> Route {
    Route::new(Method::GET, pattern, to, rule)
}

const fn post(pattern: &'static str, to: To, rule: Rule) -> Route {
    Route::new(Method::POST, pattern, to, rule)
}

const fn put(pattern: &'static str, to: To, rule: Rule) -> Route {
    Route::new(Method::PUT, pattern, to, rule)
}

const fn patch(pattern: &'static str, to: To, rule: Rule) -> Route {
    Route::new(Method::PATCH, pattern, to, rule)
}

const fn delete(pattern: &'static str, to: To, rule: Rule) -> Route {
    Route::new(Method::DELETE, pattern, to, rule)
}

const ADMIN: Rule = Roles(&[Role::Admin]);
const SELLER: Rule = Roles(&[Role::Seller]);
const OPERATOR: Rule = Roles(&[Role::Manager]);
const HOST: Rule = Roles(&[Role::Seller, Role::Manager]);

/// The table.
pub static TABLE: &[Route] = &[
    // Accounts and logins.
    post("/api/auth/signup", User, Anyone).rate(Rate::SignUp),
    post("/api/auth/login", User, Anyone).rate(Rate::Login).of_login(),
    post("/api/auth/refresh", User, Anyone).rate(Rate::Login).of_login(),
    get("/api/auth/refresh", User, Anyone).rate(Rate::Login).of_login(),
    post("/api/auth/logout", User, Visitor).of_login(),
    get("/api/auth/sessions", User, Login),
    delete("/api/auth/sessions/{sid}", User, Login),
    post("/api/auth/password", User, Login).rate(Rate::Login),
    get("/.well-known/jwks.json", Jwks, Anyone),
    get("/api/users/me", User, Login),
    patch("/api/users/me", User, Login),
    delete("/api/users/me", User, Login),
    get("/api/users", User, ADMIN),
    get("/api/users/{id}", User, ADMIN),
    patch("/api/users/{id}", User, ADMIN),
    delete("/api/users/{id}", User, ADMIN),
    // Companies and the catalogue.
    get("/api/companies", Product, Anyone),
    post("/api/companies", Product, SELLER),
    get("/api/companies/{id}", Product, Anyone),
    put("/api/companies/{id}", Product, SELLER),
    delete("/api/companies/{id}", Product, SELLER),
    get("/api/categories", Product, Anyone),
    post("/api/categories", Product, ADMIN),
    put("/api/categories/{code}", Product, ADMIN),
    delete("/api/categories/{code}", Product, ADMIN),
    get("/api/products", Product, Anyone),
    post("/api/products", Product, SELLER),
    get("/api/products/popular", Product, Anyone),
    get("/api/products/{id}", Product, Pass),
    put("/api/products/{id}", Product, SELLER),
    delete("/api/products/{id}", Product, SELLER),
    get("/api/products/{id}/summary", Product, Anyone),
    post("/api/products/{id}/stock", Product, SELLER),
    post("/api/images", Product, SELLER).body_max(10 << 20),
    get("/images/{key}", Product, Anyone).rate(Rate::Page),
    post("/api/products/import", Product, SELLER).body_max(50 << 20).within_s(30),
    get("/api/products/import/{id}", Product, SELLER),
    // What shoppers like and wait for.
    post("/api/products/{id}/like", Product, Login),
    delete("/api/products/{id}/like", Product, Login),
    get("/api/products/{id}/like", Product, Login),
    post("/api/products/{id}/subscription", User, Login),
    delete("/api/products/{id}/subscription", User, Login),
    get("/api/products/{id}/subscription", User, Login),
    get("/api/subscriptions", User, Login),
    get("/api/notifications", User, Login),
    get("/api/notifications/live", User, Login).live(),
    post("/api/notifications/read", User, Login),
    // The waiting rooms.
    get("/api/queue", Queue, OPERATOR),
    post("/api/queue/{productId}", Queue, Login).rate(Rate::Join),
    get("/api/queue/{productId}", Queue, Login),
    delete("/api/queue/{productId}", Queue, Login),
    get("/api/queue/{productId}/live", Queue, Login).live(),
    post("/api/queue/{productId}/token", Queue, Login).rate(Rate::Buy),
    get("/api/queue/{productId}/waiting", Queue, HOST),
    get("/api/queue/{productId}/admitted", Queue, HOST),
    get("/api/queue/{productId}/stats", Queue, HOST),
    post("/api/queue/{productId}/admissions", Queue, OPERATOR),
    put("/api/queue/{productId}/schedule", Queue, HOST),
    delete("/api/queue/{productId}/schedule", Queue, HOST),
    post("/api/queue/{productId}/hold", Queue, HOST),
    post("/api/queue/{productId}/resume", Queue, HOST),
    post("/api/queue/{productId}/message", Queue, HOST),
    post("/api/queue/{productId}/revoke", Queue, HOST),
    put("/api/queue/{productId}/capacity", Queue, HOST),
    get("/api/queue/{productId}/draw", Queue, Anyone),
    // Orders and payment. A payment waits for the provider.
    post("/api/orders", Order, AnyPass).rate(Rate::Buy).batched(),
    get("/api/orders", Order, Login),
    get("/api/orders/{id}", Order, Login),
    get("/api/orders/{id}/live", Order, Login).live(),
    post("/api/orders/{id}/cancel", Order, Login).within_s(30).rate(Rate::Buy),
    post("/api/orders/{id}/payment", Order, Login).within_s(30).rate(Rate::Buy),
    post("/api/orders/{id}/refunds", Order, Login).within_s(30),
    post("/api/payments/webhooks/{provider}", Order, Anyone),
    get("/api/admin/dead-letters", Order, ADMIN),
    get("/api/admin/dead-letters/{id}", Order, ADMIN),
    post("/api/admin/dead-letters/{id}/redrive", Order, ADMIN),
    // What sellers see of their sales.
    get("/api/seller/products", Product, SELLER),
    get("/api/seller/products/{id}/sale", Product, SELLER),
    get("/api/seller/products/{id}/sale/live", Product, SELLER).live(),
    get("/api/seller/products/{id}/sale/results.csv", Product, SELLER),
    // Pages. Those of a waiting room stand side by side: without a script, one leads to the other by a relative
    // address, so that its bytes do not depend on the product.
    post("/login", User, Anyone).rate(Rate::Login).of_login(),
    get("/queue/{productId}/wait", File("/queue/wait.html"), Anyone),
    get("/queue/{productId}/plain", Queue, Visitor),
    post("/queue/{productId}/plain", Queue, Visitor).rate(Rate::Join),
    get("/docs", File("/docs.html"), Anyone),
    get("/openapi.json", Assets, Anyone),
    get("/", Assets, Anyone),
    get("/{*file}", Assets, Anyone),
];
