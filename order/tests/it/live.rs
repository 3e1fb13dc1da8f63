use std::time::Duration;

use common::wire::id::OrderId;
use common::wire::order::{OrderState, OrderView};
use common::wire::token::Role;
use serde_json::json;
use testkit::client::Http;

use crate::{SOON, Shopper, TestOrder};

/// An open stream.
struct Stream {
    response: reqwest::Response,
    unread: String,
}

impl Stream {
    async fn open(http: &Http, order: OrderId) -> Self {
        let response =
            http.request(reqwest::Method::GET, &format!("/api/orders/{order}/live")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, unread: String::new() }
    }

    /// The next event's fields; `None` at the end.
    async fn next(&mut self) -> Option<(String, String, String)> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or_default()
                        .trim()
                        .to_owned()
                };
                let event = (field("event:"), field("id:"), field("data:"));
                self.unread = rest.to_owned();
                if !event.0.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let chunk =
                tokio::time::timeout(SOON, self.response.chunk()).await.expect("nothing came").unwrap()?;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn order(&mut self) -> (String, OrderView) {
        let (event, id, data) = self.next().await.unwrap();
        assert_eq!(event, "order");
        (id, serde_json::from_str(&data).unwrap())
    }
}

fn after(shopper: &Shopper<'_>, id: &str) -> Http {
    shopper.http.with("last-event-id", id)
}

#[tokio::test]
async fn every_transition_is_told_as_it_happens() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    let mut stream = Stream::open(&shopper.http, order).await;
    let (id, view) = stream.order().await;
    assert_eq!((id.as_str(), view.state), ("1", OrderState::Received));
    test.decide(order, 1, None).await;
    let (id, view) = stream.order().await;
    assert_eq!((id.as_str(), view.state), ("2", OrderState::Reserved));
    assert_eq!(view, shopper.show(order).await);
    shopper.http.key("c").post(&format!("/api/orders/{order}/cancel"), &json!({})).await.unwrap().expect(200);
    assert_eq!(stream.order().await.1.state, OrderState::Cancelled);

    // Who has the last one is told nothing until there is another; who has an older one is told at once.
    let mut known = Stream::open(&after(&shopper, "3"), order).await;
    let nothing = tokio::time::timeout(Duration::from_millis(400), known.response.chunk()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    let (id, _) = Stream::open(&after(&shopper, "2"), order).await.order().await;
    assert_eq!(id, "3");
}

#[tokio::test]
async fn what_another_replica_changes_is_told_too() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    let mut stream = Stream::open(&shopper.http, order).await;
    stream.order().await;
    // As another replica does it: this process hears nothing of it.
    sqlx::query("UPDATE orders SET state = 'failed', seq = 2, reason = 'noDecision' WHERE order_id = $1")
        .bind(order.0)
        .execute(&test.pg)
        .await
        .unwrap();
    let (id, view) = stream.order().await;
    assert_eq!(
        (id.as_str(), view.state, view.reason.as_deref()),
        ("2", OrderState::Failed, Some("noDecision"))
    );
}

#[tokio::test]
async fn a_stream_is_its_owners_and_ends_in_an_orderly_way() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    let path = format!("/api/orders/{order}/live");
    test.shopper(8).http.get(&path).await.unwrap().problem(403, "forbidden");
    test.http.get(&path).await.unwrap().problem(401, "login-required");
    let unknown = format!("/api/orders/{}/live", OrderId::new());
    shopper.http.get(&unknown).await.unwrap().problem(404, "unknown-order");
    for bad in ["x", "-1", "0", "1.5", "99999999999999999999"] {
        after(&shopper, bad).get(&path).await.unwrap().problem(400, "invalid-last-event-id");
    }
    let mut admin = Stream::open(&test.caller(1, Role::Admin).http, order).await;
    admin.order().await;

    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(Stream::open(&shopper.http, order).await);
    }
    shopper.http.get(&path).await.unwrap().problem(429, "too-many-streams");
    streams.clear();
    // Whoever closed one may open another.
    testkit::eventually(SOON, async || {
        let request = shopper.http.request(reqwest::Method::GET, &path).send().await?;
        anyhow::ensure!(request.status() == 200, "{}", request.status());
        Ok(())
    })
    .await;

    test.stop.stop();
    let (event, ..) = admin.next().await.unwrap();
    assert_eq!(event, "reconnect");
    assert!(admin.next().await.is_none());
}
