//! Records that nobody can use: an administrator finds them all in one list and sends them again.

use anyhow::ensure;
use common::config::Kafka;
use common::kafka::producer::{Outgoing, Producer};
use common::wire::dead_letter::{DeadLetter, DeadLetters};
use common::wire::event::{STOCK_COMMANDS, STOCK_DECISIONS, Topic};
use serde_json::json;
use testkit::eventually;

use crate::shop::{PATIENCE, Shop, shared};

/// Sends text that nobody can use to a topic of each service.
async fn send_to_both(shop: &Shop, text: &str) {
    let kafka = Kafka {
        kafka_bootstrap: shop.stack.kafka().to_owned(),
        kafka_topic_prefix: shop.stack.topic_prefix().to_owned(),
        kafka_replication: 1,
        instance: "letters".into(),
    };
    let record = |topic: Topic| Outgoing {
        topic: kafka.topic(topic),
        key: "0".into(),
        headers: Vec::new(),
        body: text.as_bytes().to_vec(),
    };
    let producer = Producer::new(&kafka).unwrap();
    producer.send(&[record(STOCK_COMMANDS), record(STOCK_DECISIONS)]).await.unwrap();
}

#[tokio::test]
async fn a_letter_too_large_for_its_topic_is_not_sent_again_whose_ever_it_is() {
    let shop = shared();
    // A topic takes a little more than a letter may have.
    send_to_both(shop, &"x".repeat(1_000_001)).await;
    let admin = shop.login("admin").await;
    let both = eventually(PATIENCE, async || {
        let page: DeadLetters = admin.get("/api/admin/dead-letters?limit=100").await?.expect(200).body();
        let large: Vec<_> = page.items.into_iter().filter(|letter| letter.size > 1_000_000).collect();
        ensure!(large.len() == 2, "{} large letters", large.len());
        Ok(large)
    })
    .await;
    for letter in both {
        let path = format!("/api/admin/dead-letters/{}/redrive", letter.letter_id);
        admin.post(&path, &json!({})).await.unwrap().problem(422, "dead-letter-too-large");
    }
}

#[tokio::test]
async fn dead_letters_of_both_services_stand_in_one_list() {
    let shop = shared();
    let poison = format!("poison {}", uuid::Uuid::new_v4());
    send_to_both(shop, &poison).await;

    let admin = shop.login("admin").await;
    let list = async || -> anyhow::Result<Vec<DeadLetter>> {
        let page: DeadLetters = admin.get("/api/admin/dead-letters?limit=100").await?.expect(200).body();
        let mut own = Vec::new();
        for letter in
            page.items.into_iter().filter(|letter| letter.size == i64::try_from(poison.len()).unwrap())
        {
            let path = format!("/api/admin/dead-letters/{}", letter.letter_id);
            let letter: DeadLetter = admin.get(&path).await?.expect(200).body();
            own.extend((letter.text.as_ref() == Some(&poison)).then_some(letter));
        }
        Ok(own)
    };
    let found = async |count: usize| {
        eventually(PATIENCE, async || {
            let own = list().await?;
            ensure!(own.len() == count, "{} letters, not {count}", own.len());
            Ok(own)
        })
        .await
    };
    let both = found(2).await;
    let topics: Vec<_> = both.iter().map(|letter| letter.topic.as_str()).collect();
    assert!(topics.contains(&STOCK_COMMANDS.name) && topics.contains(&STOCK_DECISIONS.name), "{topics:?}");

    let redriven = async |letter: &DeadLetter| -> DeadLetter {
        let path = format!("/api/admin/dead-letters/{}/redrive", letter.letter_id);
        admin.post(&path, &json!({})).await.unwrap().expect(200).body()
    };
    let me = admin.get("/api/users/me").await.unwrap().expect(200).body["userId"].to_string();
    for letter in &both {
        let sent = redriven(letter).await;
        assert_eq!(sent.redriven_by, Some(me.clone()));
        assert_eq!(redriven(letter).await, sent);
    }
    // They are as poisonous as before.
    let four = found(4).await;
    assert_eq!(four.iter().filter(|letter| letter.redriven_at.is_none()).count(), 2);

    let shopper = shop.shopper();
    shopper.http.get("/api/admin/dead-letters").await.unwrap().problem(403, "forbidden");
    let path = format!("/api/admin/dead-letters/{}/redrive", four[0].letter_id);
    shopper.http.post(&path, &json!({})).await.unwrap().problem(403, "forbidden");
    shop.visitor().get("/api/admin/dead-letters").await.unwrap().problem(401, "login-required");
}
