//! What rooms were told is told again to a Redis that lost it.

use std::time::{Duration, Instant};

use common::config::{Kafka, Secret};
use common::wire::event::{PRODUCT_EVENTS, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use testkit::process::Server as _;
use testkit::redis::Redis;

use crate::inputs::publish;
use crate::shop::{PRODUCT, SOON, Shop, sale, sale_of};

/// What a group has committed of a topic, over all partitions.
fn committed(kafka: &Kafka, group: &str, topic: Topic) -> anyhow::Result<i64> {
    let consumer: BaseConsumer = kafka.client().set("group.id", kafka.group(group)).create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&kafka.topic(topic), 0, topic.partitions - 1);
    let list = consumer.committed_offsets(list, Duration::from_secs(5))?;
    let offsets = list.elements().into_iter().filter_map(|one| match one.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    });
    Ok(offsets.sum())
}

async fn until_known(shop: &Shop, count: i64) {
    testkit::eventually(SOON, async || {
        let room = shop.store.room(PRODUCT).await?;
        anyhow::ensure!(room.as_ref().is_some_and(|room| room.count == count), "{room:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_offset_is_committed_five_seconds_after_its_record_was_applied() {
    let shop = Shop::listening().await;
    crate::inputs::ready(&shop).await;
    let published = Instant::now();
    publish(&shop, &[sale()]).await;
    until_known(&shop, sale().queue.count.into()).await;
    testkit::eventually(SOON * 2, async || {
        let kafka = shop.config.kafka.clone();
        let read = move || committed(&kafka, "queue-products", PRODUCT_EVENTS);
        anyhow::ensure!(tokio::task::spawn_blocking(read).await?? == 1, "not committed");
        Ok(())
    })
    .await;
    assert!(published.elapsed() >= Duration::from_secs(5), "committed after {:?}", published.elapsed());
}

#[tokio::test]
async fn a_redis_that_lost_what_rooms_were_told_is_told_again() {
    let dir = std::env::temp_dir().join(testkit::topic_prefix());
    let folder = dir.clone();
    let start = move || testkit::port::on_free_port(|port| Redis::start(&folder, port)).unwrap();
    let mut redis = tokio::task::spawn_blocking(start).await.unwrap();
    let url = redis.url();
    let shop = Shop::with(|config| {
        config.redis.redis_url = Secret(url);
        config.kafka.kafka_bootstrap.clone_from(&testkit::servers().kafka);
    })
    .await;
    crate::inputs::ready(&shop).await;
    publish(&shop, &[sale_of(3)]).await;
    // The shop's own view of the store is that of its first address.
    let store =
        queue_server::room::store::Store::new(common::redis::Connections::open(&shop.config.redis).unwrap());
    let known = async || {
        let room = store.room(PRODUCT).await?;
        anyhow::ensure!(room.as_ref().is_some_and(|room| room.count == 3), "{room:?}");
        Ok(())
    };
    testkit::eventually(SOON, known).await;

    // The record was applied a moment ago. Now its effect is lost.
    let keys = ["meta", "line", "log", "tickets"].map(|part| format!("room:{{{PRODUCT}}}:{part}"));
    let connections = common::redis::Connections::open(&shop.config.redis).unwrap();
    connections.delete(keys.into()).await.unwrap();
    assert!(store.room(PRODUCT).await.unwrap().is_none());
    let redis = tokio::task::spawn_blocking(move || {
        redis.kill9();
        redis.restart().unwrap();
        redis
    })
    .await
    .unwrap();
    testkit::eventually(SOON * 2, known).await;
    drop(shop);
    tokio::task::spawn_blocking(move || drop(redis)).await.unwrap();
    std::fs::remove_dir_all(dir).ok();
}
