//! The broker goes away while the stock decides, or is cut off: the catalogue goes on, nothing is lost, nothing is decided
//! twice, and all of it goes on by itself.

use std::collections::HashSet;
use std::time::Duration;

use common::kafka::producer::{Outgoing, Producer};
use common::wire::event::{Outcome, STOCK_COMMANDS, Topic};
use common::wire::id::{OrderId, ProductId};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::json;
use testkit::broker::Broker;
use testkit::eventually;
use testkit::process::Server as _;

use crate::service::Service;

/// A broker that was killed is refused until its old session is over, and then recovers its log.
const RECOVERY: Duration = Duration::from_secs(60);
const UNITS: i64 = 30;

async fn start(broker: &Broker) -> (Service, ProductId) {
    let service = Service::start_as(&[], |config| config.kafka.kafka_bootstrap = broker.url()).await;
    let product = service.product(UNITS).await;
    (service, product)
}

/// Sends so many wishes of one unit each, of people numbered from `first` on.
async fn wish(service: &Service, product: ProductId, first: i64, count: i64) -> Vec<OrderId> {
    let orders: Vec<_> = (0..count).map(|_| OrderId::new()).collect();
    let wishes = orders.iter().zip(first..).map(|(order, user)| service.reserve(product, *order, user));
    service.send(&wishes.collect::<Vec<_>>()).await;
    orders
}

/// Adjusts the stock by one and reads the product, while nothing reaches the broker.
async fn the_catalogue_goes_on(service: &Service, product: ProductId) {
    let path = format!("/api/products/{product}");
    service.seller().post(&format!("{path}/stock"), &json!({"delta": 1})).await.unwrap().expect(202);
    service.anyone().get(&format!("{path}/summary")).await.unwrap().expect(200);
    service.anyone().get("/readyz").await.unwrap().expect(200);
    service.clock.advance(Duration::from_secs(3));
    eventually(RECOVERY, async || {
        let metrics = service.anyone().get("/metrics").await?.body;
        let figure = |name: &str| -> Option<f64> {
            let line = metrics.as_str()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line?.parse().ok()
        };
        let waits = figure("astraphe_product_outbox_rows").zip(figure("astraphe_product_outbox_age_ms"));
        anyhow::ensure!(
            waits.is_some_and(|(rows, age)| rows >= 1.0 && age >= 3_000.0),
            "nothing waits: {waits:?}"
        );
        Ok(())
    })
    .await;
}

/// The first wishes in the log got the units, each wish was answered, and always in the same way.
async fn was_decided_in_order(service: &Service, product: ProductId, orders: &[OrderId]) {
    let units = usize::try_from(UNITS).unwrap() + 1;
    eventually(RECOVERY, async || {
        let mut seen = HashSet::new();
        let decided = service.decisions(product)?.into_iter().flat_map(|record| record.decisions);
        let once: Vec<_> = decided.filter(|decision| seen.insert(decision.order_id)).collect();
        anyhow::ensure!(once.len() == orders.len(), "{} of {} answered", once.len(), orders.len());
        for (number, (decision, order)) in once.iter().zip(orders).enumerate() {
            assert_eq!(decision.order_id, *order, "number {number}");
            assert_eq!(decision.result == Outcome::Reserved, number < units, "number {number}");
        }
        Ok(())
    })
    .await;
    let (total, held) = (UNITS + 1, UNITS + 1);
    service.counts_are(product, [total, 0, held, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_is_waited_for() {
    let mut broker = Broker::start().await;
    let (service, product) = start(&broker).await;
    let mut orders = wish(&service, product, 0, 20).await;
    broker.kafka.kill9();
    the_catalogue_goes_on(&service, product).await;
    broker.kafka.restart().unwrap();
    // The seller's unit is on its way before them.
    service.counts_are(product, [UNITS + 1, UNITS - 19, 20, 0]).await;
    orders.extend(wish(&service, product, 20, 20).await);
    was_decided_in_order(&service, product, &orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wire_to_the_broker_that_is_cut_loses_no_decision_and_repeats_none() {
    let broker = Broker::start().await;
    let (service, product) = start(&broker).await;
    let mut orders = wish(&service, product, 0, 10).await;
    // While commands and decisions are on their way.
    let (more, ()) = tokio::join!(wish(&service, product, 10, 10), async {
        broker.wire.cut();
        the_catalogue_goes_on(&service, product).await;
        broker.wire.restore();
    });
    orders.extend(more);
    service.counts_are(product, [UNITS + 1, UNITS - 19, 20, 0]).await;
    orders.extend(wish(&service, product, 20, 20).await);
    was_decided_in_order(&service, product, &orders).await;
    let decided = service.decisions(product).unwrap();
    let answers: usize = decided.iter().map(|record| record.decisions.len()).sum();
    assert_eq!(answers, orders.len(), "nothing was told twice");
}

#[tokio::test]
async fn a_record_that_the_broker_refuses_is_not_taken_for_sent() {
    let service = Service::start().await;
    let kafka = service.kafka();
    let topic = kafka.topic(Topic { name: "narrow", ..STOCK_COMMANDS });
    let narrow = NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "200");
    let admin: AdminClient<DefaultClientContext> = kafka.client().create().unwrap();
    let made = admin.create_topics(&[narrow], &AdminOptions::new()).await.unwrap();
    assert!(made[0].is_ok(), "{made:?}");
    let record = |bytes| Outgoing {
        topic: topic.clone(),
        key: "k".into(),
        headers: Vec::new(),
        body: vec![b'.'; bytes],
    };
    let producer = Producer::new(kafka).unwrap();
    producer.send(&[record(1)]).await.unwrap();
    let refused = producer.send(&[record(1), record(2_000), record(1)]).await.unwrap_err();
    assert!(refused.to_string().contains("MessageSizeTooLarge"), "{refused}");
}
