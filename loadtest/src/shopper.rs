//! One shopper: joins, waits, is let in, looks, orders, pays. Tries again where a person would, and notes how
//! long each step took from the moment it was meant to begin.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::wire::id::{OrderId, ProductId};
use common::wire::order::{CheckoutView, OrderState, OrderView, PaymentView, PlaceOrder, WantedLine};
use common::wire::product::ProductView;
use common::wire::queue::{Place, QueueState, TokenView};
use http::StatusCode;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use uuid::Uuid;

use crate::account::Login;
use crate::http::{Agent, Answer, Call};
use crate::notes::{End, Notes, Seen, Stage, Step};
use crate::plan::Plan;

/// First pause before another try, doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// First pause between two looks at an order, doubled up to [`LOOK_MAX`].
const LOOK: Duration = Duration::from_millis(50);
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Asks for its place at least this often, whatever the answer said.
const POLL_MAX: Duration = Duration::from_secs(30);
/// Cards that one shopper tries.
const CARDS_MAX: u32 = 5;

/// Where everybody shops.
#[derive(Debug)]
pub(crate) struct Market {
    /// Public addresses of the platform.
    pub(crate) gateways: Vec<String>,
    /// The payment provider's stand-in.
    pub(crate) sandbox: String,
    /// What is sold.
    pub(crate) product: ProductId,
    /// When the first shopper may come.
    pub(crate) start: Instant,
    /// When whoever is not done goes home.
    pub(crate) deadline: Instant,
    /// What they see.
    pub(crate) notes: Notes,
}

/// One shopper.
#[derive(Debug)]
pub(crate) struct Shopper {
    /// What it will do.
    pub(crate) plan: Plan,
    /// Its login.
    pub(crate) login: Login,
    /// Its connection.
    pub(crate) agent: Agent,
    /// The gateway it talks to.
    pub(crate) gateway: usize,
    /// Where it shops.
    pub(crate) market: Arc<Market>,
    /// Decides its pauses.
    pub(crate) dice: StdRng,
    /// Where it is.
    pub(crate) stage: Stage,
}

impl Shopper {
    /// The whole journey.
    pub(crate) async fn shop(mut self) -> End {
        let end = match timeout_at(self.market.deadline, self.journey()).await {
            Ok(Ok(end) | Err(end)) => end,
            Err(_) => End::TimedOut,
        };
        self.go(if end == End::Paid { Stage::Paid } else { Stage::Home });
        end
    }

    async fn journey(&mut self) -> Result<End, End> {
        let arrival = self.market.start + self.plan.arrival;
        sleep_until(arrival).await;
        self.go(Stage::Waiting);
        let place = self.join(Step::Join, arrival).await?;
        let pass = self.wait(place).await?;
        self.notes().done(Step::Wait, arrival.elapsed());
        self.notes().let_in.fetch_add(1, Ordering::Relaxed);
        self.go(Stage::Inside);
        let page = self.page(&pass).await?;
        let order = self.buy(&pass, &page).await?;
        self.notes().reserved.fetch_add(1, Ordering::Relaxed);
        if self.plan.pays { self.pay(&order).await } else { self.cancel(order.order_id).await }
    }

    /// Registers; a retry of the same registration carries the same key and does not move.
    async fn join(&mut self, step: Step, intended: Instant) -> Result<Place, End> {
        let call = Call::post(self.url(&format!("/api/queue/{}", self.market.product))).key(Uuid::new_v4());
        let answer = self.send(step, intended, call).await;
        match (answer.status, answer.code().as_str()) {
            (StatusCode::CONFLICT, "sale-closed") => Err(End::Closed),
            _ => self.expect(step, &answer, StatusCode::OK),
        }
    }

    /// Waits for its turn; gives the access token.
    async fn wait(&mut self, mut place: Place) -> Result<String, End> {
        let mut moves = self.plan.rejoins;
        let mut best = u64::MAX;
        loop {
            match (place.state, place.token.take()) {
                (QueueState::Admitted, Some(token)) => return Ok(token),
                (QueueState::Admitted | QueueState::Ready, _) => {
                    if let Some(token) = self.token().await? {
                        return Ok(token);
                    }
                }
                (QueueState::Waiting, _) if moves => {
                    moves = false;
                    best = u64::MAX;
                    place = self.join(Step::Rejoin, Instant::now()).await?;
                    continue;
                }
                (QueueState::Waiting, _) => {}
                (QueueState::SoldOut, _) => return Err(End::SoldOutInLine),
                (QueueState::Closed, _) => return Err(End::Closed),
                (QueueState::Expired, _) => return Err(End::Expired("place".into())),
                (other, _) => return Err(End::Failed(format!("in the line, but {other:?}"))),
            }
            if let Some(rank) = place.rank {
                if rank > best {
                    let user = self.login.user;
                    self.notes().broke(format!("rank of user {user} rose from {best} to {rank}"));
                }
                best = rank;
            }
            let pause = (place.next_poll_at - place.server_time).to_std().unwrap_or_default().min(POLL_MAX);
            let intended = Instant::now() + pause.max(LOOK);
            sleep_until(intended).await;
            let call = Call::get(self.url(&format!("/api/queue/{}", self.market.product)));
            let answer = self.send(Step::Place, intended, call).await;
            place = self.expect(Step::Place, &answer, StatusCode::OK)?;
        }
    }

    /// Takes the token; `None` when its turn is over or has not come.
    async fn token(&mut self) -> Result<Option<String>, End> {
        let call = Call::post(self.url(&format!("/api/queue/{}/token", self.market.product)));
        let answer = self.send(Step::Token, Instant::now(), call).await;
        if answer.status == StatusCode::CONFLICT {
            // The last unit was sold since it was called: the next look at its place says so.
            return Ok(None);
        }
        let token: TokenView = self.expect(Step::Token, &answer, StatusCode::OK)?;
        Ok(Some(token.token))
    }

    async fn page(&mut self, pass: &str) -> Result<ProductView, End> {
        let call = Call::get(self.url(&format!("/api/products/{}", self.market.product))).pass(pass);
        let answer = self.send(Step::Page, Instant::now(), call).await;
        self.expect(Step::Page, &answer, StatusCode::OK)
    }

    /// Orders until it has units or there are none: who wanted several and is told that they are sold out
    /// takes fewer.
    async fn buy(&mut self, pass: &str, page: &ProductView) -> Result<OrderView, End> {
        let mut quantity = self.plan.quantity;
        loop {
            let intended = Instant::now();
            let order = self.order(pass, page, quantity).await?;
            self.go(Stage::Ordered);
            let order = self.look(order.order_id, |state| state != OrderState::Received).await?;
            self.notes().done(Step::Decided, intended.elapsed());
            let reason = order.reason.clone().unwrap_or_default();
            match order.state {
                OrderState::Reserved => return Ok(order),
                OrderState::Rejected => {
                    self.notes().rejected.fetch_add(1, Ordering::Relaxed);
                    match reason.as_str() {
                        "soldOut" if quantity > 1 => quantity -= 1,
                        "soldOut" => return Err(End::SoldOutAtOrder),
                        "closed" => return Err(End::Closed),
                        _ => return Err(End::Rejected(reason)),
                    }
                }
                other => return Err(End::Failed(format!("order {other:?} {reason}"))),
            }
        }
    }

    async fn order(&mut self, pass: &str, page: &ProductView, quantity: u32) -> Result<OrderView, End> {
        let options = &page.product_options;
        let option_id = match options.len() {
            0 => None,
            many => Some(options[self.plan.taste as usize % many].option_id),
        };
        let line = WantedLine { product_id: self.market.product, option_id, quantity: i64::from(quantity) };
        let wish = PlaceOrder {
            lines: vec![line],
            shipping_address: Some("2 Harbour Road, Busan".into()),
            memo: None,
        };
        let call = Call::post(self.url("/api/orders")).pass(pass).key(Uuid::new_v4()).json(&wish);
        let answer = self.send(Step::Order, Instant::now(), call.clone()).await;
        let order: OrderView = self.expect(Step::Order, &answer, StatusCode::ACCEPTED)?;
        let seen = Seen { user: self.login.user, quantity, paid: false };
        self.notes().ordered(order.order_id, seen);
        if self.plan.twice {
            let answer = self.send(Step::OrderAgain, Instant::now(), call).await;
            let again: OrderView = self.expect(Step::OrderAgain, &answer, StatusCode::ACCEPTED)?;
            if again.order_id != order.order_id {
                self.notes().broke(format!("one key, two orders: {} and {}", order.order_id, again.order_id));
            }
        }
        Ok(order)
    }

    /// Looks at an order until its state is one to act on.
    async fn look(&mut self, order: OrderId, enough: fn(OrderState) -> bool) -> Result<OrderView, End> {
        let mut pause = LOOK;
        loop {
            let intended = Instant::now() + pause;
            sleep_until(intended).await;
            let call = Call::get(self.url(&format!("/api/orders/{order}")));
            let answer = self.attempt(Step::Decided, call).await;
            let view: OrderView = self.expect(Step::Decided, &answer, StatusCode::OK)?;
            if enough(view.state) {
                return Ok(view);
            }
            pause = (pause * 2).min(LOOK_MAX);
        }
    }

    async fn pay(&mut self, order: &OrderView) -> Result<End, End> {
        for card in 0..CARDS_MAX {
            let outcome = if card == 0 && self.plan.declined { "decline" } else { "approve" };
            let url = self.url(&format!("/api/orders/{}/payment", order.order_id));
            let answer = self.send(Step::Checkout, Instant::now(), Call::post(&url).json(&json!({}))).await;
            if answer.code() == "order-expired" {
                return Err(End::Expired("order".into()));
            }
            let checkout: CheckoutView = self.expect(Step::Checkout, &answer, StatusCode::OK)?;
            let wish = json!({ "orderId": order.order_id, "amount": checkout.amount, "outcome": outcome });
            let call = Call::post(format!("{}/sandbox/checkouts", self.market.sandbox)).json(&wish);
            let answer = self.send(Step::Card, Instant::now(), call).await;
            let Ok(card) = answer.success::<Card>("card") else {
                return Err(self.unexpected(Step::Card, &answer));
            };
            let wish = json!({ "paymentKey": card.payment_key, "amount": checkout.amount });
            let call = Call::post(&url).key(Uuid::new_v4()).json(&wish);
            let answer = self.send(Step::Confirm, Instant::now(), call).await;
            match (answer.status, answer.code().as_str()) {
                (StatusCode::OK, _) => {
                    let paid: PaymentView = self.expect(Step::Confirm, &answer, StatusCode::OK)?;
                    return self.paid(order.order_id, paid.state);
                }
                (StatusCode::ACCEPTED, _) => {
                    let view = self.look(order.order_id, |state| state != OrderState::Paying).await?;
                    if view.state != OrderState::Reserved {
                        return self.paid(order.order_id, view.state);
                    }
                }
                (StatusCode::PAYMENT_REQUIRED, _) if outcome == "decline" => {}
                (StatusCode::CONFLICT, "order-expired") => return Err(End::Expired("order".into())),
                _ => return Err(self.unexpected(Step::Confirm, &answer)),
            }
        }
        Err(End::Failed(format!("{CARDS_MAX} cards, none went through")))
    }

    fn paid(&self, order: OrderId, state: OrderState) -> Result<End, End> {
        if state != OrderState::Paid {
            return Err(End::Failed(format!("paid, but the order is {state:?}")));
        }
        self.notes().paid(order);
        Ok(End::Paid)
    }

    async fn cancel(&mut self, order: OrderId) -> Result<End, End> {
        let call = Call::post(self.url(&format!("/api/orders/{order}/cancel"))).key(Uuid::new_v4());
        let answer = self.send(Step::Cancel, Instant::now(), call.json(&json!({}))).await;
        if !answer.status.is_success() {
            return Err(self.unexpected(Step::Cancel, &answer));
        }
        Ok(End::Cancelled)
    }

    /// Sends until there is an answer to act on, and notes how long that took since `intended`.
    async fn send(&mut self, step: Step, intended: Instant, call: Call) -> Answer {
        let answer = self.attempt(step, call).await;
        self.notes().done(step, intended.elapsed());
        answer
    }

    /// Sends until there is an answer to act on, with pauses as the platform asks for or as a person would
    /// make.
    async fn attempt(&mut self, step: Step, call: Call) -> Answer {
        let call = call.bearer(&self.login.token);
        let mut pause = PAUSE;
        loop {
            let asked = match self.agent.send(&call).await {
                Ok(answer) if !is_passing(&answer) => return answer,
                Ok(answer) => {
                    self.notes().failed(step, &answer.outcome());
                    answer.retry_after
                }
                Err(error) => {
                    self.notes().failed(step, &error.0);
                    None
                }
            };
            sleep(asked.unwrap_or(pause).mul_f64(self.dice.random_range(1.0..1.5))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn expect<T: DeserializeOwned>(&self, step: Step, answer: &Answer, wanted: StatusCode) -> Result<T, End> {
        if answer.status != wanted {
            return Err(self.unexpected(step, answer));
        }
        answer.read().map_err(|error| End::Failed(format!("{}: {error:#}", step.name())))
    }

    fn unexpected(&self, step: Step, answer: &Answer) -> End {
        self.notes().failed(step, &answer.outcome());
        End::Failed(format!("{}: {}", step.name(), answer.outcome()))
    }

    fn go(&mut self, stage: Stage) {
        self.notes().moved(self.stage, stage);
        self.stage = stage;
    }

    fn notes(&self) -> &Notes {
        &self.market.notes
    }

    fn url(&self, path: &str) -> String {
        let gateways = &self.market.gateways;
        format!("{}{path}", gateways[self.gateway % gateways.len()])
    }
}

/// What the provider's page gives.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Card {
    payment_key: String,
}

/// Whether the same request may work later: the platform is busy, starting again, or still at the first try.
fn is_passing(answer: &Answer) -> bool {
    answer.status.is_server_error()
        || answer.status == StatusCode::TOO_MANY_REQUESTS
        || (answer.status == StatusCode::CONFLICT && answer.retry_after.is_some())
}
