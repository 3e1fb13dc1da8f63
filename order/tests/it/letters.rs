use common::kafka::producer::Outgoing;
use common::wire::dead_letter::{DeadLetter, DeadLetters};
use common::wire::event::{ORDER_EVENTS, PRODUCT_EVENTS, STOCK_DECISIONS, Topic};
use common::wire::id::UserId;
use common::wire::token::Role;
use serde_json::json;
use testkit::client::Http;
use uuid::Uuid;

use crate::{SOON, TestOrder};

const PATH: &str = "/api/admin/dead-letters";

impl TestOrder {
    /// Bytes into a topic, or into its dead letters.
    async fn send_bytes(&self, topic: String, headers: Vec<(String, String)>, body: &[u8]) {
        let record = Outgoing { topic, key: "7".into(), headers, body: body.to_vec() };
        self.producer.send(&[record]).await.unwrap();
    }

    /// What somebody without a database does with a record of `topic` that it cannot use.
    async fn buried(&self, topic: Topic, offset: i64, body: &[u8]) {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![
            header("x-error", "no such type"),
            header("x-origin-topic", topic.name),
            header("x-origin-partition", "2"),
            header("x-origin-offset", &offset.to_string()),
        ];
        self.send_bytes(self.kafka.dead_letters(topic), headers, body).await;
    }

    async fn letters(&self, admin: &Http, count: usize) -> Vec<DeadLetter> {
        testkit::eventually(SOON, async || {
            let page: DeadLetters = admin.get(PATH).await?.expect(200).body();
            anyhow::ensure!(page.items.len() == count, "{} letters, not {count}", page.items.len());
            Ok(page.items)
        })
        .await
    }
}

#[tokio::test]
async fn what_no_consumer_can_use_is_kept_once_and_sent_again() {
    let test = TestOrder::start().await;
    let admin = test.caller(1, Role::Admin).http;
    test.send_bytes(test.kafka.topic(STOCK_DECISIONS), Vec::new(), b"not JSON").await;
    // Another service met the same record of the rooms' input, and one of its own twice.
    for _ in 0..2 {
        test.buried(ORDER_EVENTS, 5, b"{}").await;
    }
    test.buried(PRODUCT_EVENTS, 5, b"[]").await;
    let kept = test.letters(&admin, 3).await;
    let of = |topic: Topic| kept.iter().find(|letter| letter.topic == topic.name).unwrap();
    assert_eq!((of(ORDER_EVENTS).partition, of(ORDER_EVENTS).offset), (2, 5));
    assert_eq!(of(PRODUCT_EVENTS).reason, "no such type");
    let poison = of(STOCK_DECISIONS);
    assert_eq!(poison.size, 8);

    let path = format!("{PATH}/{}/redrive", poison.letter_id);
    for _ in 0..2 {
        let sent: DeadLetter = admin.post(&path, &json!({})).await.unwrap().expect(200).body();
        assert_eq!(sent.redriven_by.as_deref(), Some("1"));
    }
    // It was sent once: it still cannot be read, and is one more letter.
    let more = test.letters(&admin, 4).await;
    assert_eq!((more[0].topic.as_str(), more[0].size), (STOCK_DECISIONS.name, 8));
    assert!(more[0].offset > poison.offset || more[0].partition != poison.partition);
    test.quiet().await;
    assert_eq!(test.rows("dead_letter").await, 4);
    testkit::eventually(SOON, async || {
        let open = test.figure("astraphe_order_dead_letters").await;
        anyhow::ensure!((open - 3.0).abs() < 0.5, "{open} are open");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn one_list_holds_the_product_services_letters_too() {
    let test = TestOrder::start().await;
    let admin = test.caller(1, Role::Admin).http;
    let older = test.shop.keeps_letter();
    test.buried(ORDER_EVENTS, 5, b"{}").await;
    let both = test.letters(&admin, 2).await;
    assert_eq!((both[0].topic.as_str(), both[1].letter_id), (ORDER_EVENTS.name, older));
    let page: DeadLetters = admin.get(&format!("{PATH}?limit=1")).await.unwrap().expect(200).body();
    assert_eq!((page.items.as_slice(), page.next), (&both[..1], Some(both[0].letter_id)));
    let cursor = page.next.unwrap();
    let rest = admin.get(&format!("{PATH}?limit=1&cursor={cursor}")).await.unwrap();
    assert_eq!(rest.expect(200).body::<DeadLetters>(), DeadLetters { items: both[1..].to_vec(), next: None });

    let shown: DeadLetter = admin.get(&format!("{PATH}/{older}")).await.unwrap().expect(200).body();
    assert_eq!(shown.letter_id, older);
    let sent = admin.post(&format!("{PATH}/{older}/redrive"), &json!({})).await.unwrap();
    assert_eq!(sent.expect(200).body::<DeadLetter>().redriven_by, Some(UserId(1).to_string()));
    admin.get(&format!("{PATH}/{}", Uuid::now_v7())).await.unwrap().problem(404, "unknown-dead-letter");
    test.shopper(7).http.get(PATH).await.unwrap().problem(403, "forbidden");
}

#[tokio::test]
async fn a_list_without_the_product_services_letters_is_refused() {
    let test = TestOrder::start_with(|config| config.product_url = "http://127.0.0.1:1".into()).await;
    let admin = test.caller(1, Role::Admin).http;
    admin.get(PATH).await.unwrap().problem(503, "dead-letters-unavailable");
}
