//! The rooms' logs on their way to the topic: one chain per room, whatever happens to those who move it.

use std::time::Duration;

use common::config::Kafka;
use common::kafka::chain::{Head, StreamId};
use common::kafka::reader::{Offsets, Reader};
use common::redis::Script;
use common::stop::Stop;
use common::wire::event::{QUEUE_EVENTS, QueueSteps};
use common::wire::id::ProductId;
use common::wire::queue::Step;
use queue_server::Config;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use testkit::broker::Broker;
use testkit::process::{self, Process, Server as _, Spec};
use tokio::net::TcpListener;

use crate::shop::{PRODUCT, SOON, Shop, sale, sale_to_come};

/// A relay that dies is replaced within this, and a broker that was killed comes back.
const REPLACED: Duration = Duration::from_secs(10);
const LOG: &str = "room:{7}:log";
const LEASE: &str = "queue:{relay}:lease";
const ROOMS: &str = "queue:{relay}:rooms";

/// One instance with a life of its own.
struct Instance(Stop);

impl Instance {
    async fn start(shop: &Shop, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = shop.config.clone();
        config.kafka = kafka(shop);
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = Stop::new();
        let served = stop.clone();
        stop.spawn(
            "queue-server",
            async move { queue_server::serve(listener, config, served).await.unwrap() },
        );
        Self(stop)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The test run's broker; the shop itself knows none, so that it moves nothing.
fn kafka(shop: &Shop) -> Kafka {
    Kafka { kafka_bootstrap: testkit::servers().kafka.clone(), ..shop.config.kafka.clone() }
}

async fn script<T: common::redis::FromValue>(
    shop: &Shop,
    text: &'static str,
    keys: &[&str],
    args: &[&str],
) -> T {
    let keys = keys.iter().map(ToString::to_string).collect();
    Script::new(text).run(&shop.redis, keys, args.iter().map(|arg| (*arg).into()).collect()).await.unwrap()
}

/// Puts registrations into the room's log as its scripts do, at the end or under old ids, and says so as an instance
/// does.
async fn add(shop: &Shop, tickets: std::ops::Range<i64>, id: &str) {
    add_to(shop, PRODUCT, tickets, id).await;
}

async fn add_to(shop: &Shop, product: ProductId, tickets: std::ops::Range<i64>, id: &str) {
    const ADD: &str = "for ticket = ARGV[2], ARGV[3] - 1 do
        redis.call('XADD', KEYS[1], ARGV[1], 'step', 'joined', 'at', 1, 'user', ticket, 'ticket', ticket) end
        local time = redis.call('TIME')
        redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[4])
        return 1";
    let (log, product) = (format!("room:{{{product}}}:log"), product.to_string());
    let (from, to) = (tickets.start.to_string(), tickets.end.to_string());
    let _: i64 = script(shop, ADD, &[&log, ROOMS], &[id, &from, &to, &product]).await;
}

/// The room's steps as the topic has them; the chain must be whole.
fn chained(kafka: &Kafka, product: ProductId) -> anyhow::Result<Vec<Step>> {
    let (mut head, mut steps) = (Head::default(), Vec::new());
    Reader::new(kafka, QUEUE_EVENTS)?.to_end(&Offsets::new(), |record| {
        if record.key.parse() == Ok(product) {
            let read: QueueSteps = serde_json::from_slice(record.bytes)?;
            head.follow(record.bytes, &read).expect("the chain is whole");
            assert!(read.steps.len() <= 500);
            steps.extend(read.steps);
        }
        Ok(())
    })?;
    Ok(steps)
}

/// Waits until the topic has all of these tickets, in order, each once.
async fn until_moved(kafka: &Kafka, last: i64) -> Vec<Step> {
    testkit::eventually(SOON * 3, async || {
        let kafka = kafka.clone();
        let steps = tokio::task::spawn_blocking(move || chained(&kafka, PRODUCT)).await??;
        let tickets: Vec<i64> = steps.iter().filter_map(|step| Some(step.ticket?.0)).collect();
        anyhow::ensure!(tickets.last() == Some(&last), "the topic ends at {:?}", tickets.last());
        assert!(tickets.iter().copied().eq(1..=last), "{} steps to ticket {last}", tickets.len());
        Ok(steps)
    })
    .await
}

#[tokio::test]
async fn a_rooms_steps_reach_the_topic_as_one_chain() {
    let shop = Shop::open().await;
    let _relay = Instance::start(&shop, |_| {}).await;
    shop.sell(&sale(), 5).await;
    shop.join(1).await;
    shop.join(2).await;
    let log = testkit::eventually(SOON, async || {
        let (kafka, log) = (kafka(&shop), shop.log().await);
        let topic = tokio::task::spawn_blocking(move || chained(&kafka, PRODUCT)).await??;
        anyhow::ensure!(topic == log && log.len() > 4, "{} of {} steps", topic.len(), log.len());
        Ok(log)
    })
    .await;
    assert_eq!(log.iter().filter(|step| step.ticket.is_some_and(|ticket| ticket.0 == 2)).count(), 2);
}

#[tokio::test]
async fn each_room_has_a_chain_of_its_own() {
    let shop = Shop::open().await;
    let _relay = Instance::start(&shop, |_| {}).await;
    for product in [1, 2, 3].map(ProductId) {
        let sale = common::wire::product::ProductSnapshot { product_id: product, ..sale_to_come() };
        shop.store.product(&sale).await.unwrap();
    }
    testkit::eventually(SOON, async || {
        for product in [1, 2, 3].map(ProductId) {
            let kafka = kafka(&shop);
            let steps = tokio::task::spawn_blocking(move || chained(&kafka, product)).await??;
            anyhow::ensure!(!steps.is_empty(), "room {product} has no record");
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_relay_whose_lease_was_taken_writes_nothing_more() {
    let shop = Shop::open().await;
    let _relays = [Instance::start(&shop, |_| {}).await, Instance::start(&shop, |_| {}).await];
    let mut next = 1;
    for _ in 1..=6 {
        add(&shop, next..next + 700, "*").await;
        next += 700;
        // Whoever gets it, the other one goes on for up to a second.
        let _: i64 = script(&shop, "return redis.call('DEL', KEYS[1])", &[LEASE], &[]).await;
        add(&shop, next..next + 700, "*").await;
        next += 700;
        until_moved(&kafka(&shop), next - 1).await;
    }
}

#[tokio::test]
async fn a_frozen_relay_that_wakes_forks_nothing() {
    let shop = Shop::open().await;
    let mut frozen = separate(&shop, &kafka(&shop));
    let mut next = 1;
    let first = holder(&shop).await;
    let other = Instance::start(&shop, |config| config.kafka.instance = "other".into()).await;
    for round in 0..2 {
        // In the middle of its work, the first time.
        add(&shop, next..next + 10_000, "*").await;
        next += 10_000;
        process::signal(frozen.pid(), "STOP");
        add(&shop, next..next + 3_000, "*").await;
        next += 3_000;
        until_moved(&kafka(&shop), next - 1).await;
        assert!(round > 0 || holder(&shop).await != first, "the frozen one still leads");
        process::signal(frozen.pid(), "CONT");
        add(&shop, next..next + 3_000, "*").await;
        next += 3_000;
        until_moved(&kafka(&shop), next - 1).await;
    }
    drop(other);
    add(&shop, next..next + 10, "*").await;
    until_moved(&kafka(&shop), next + 9).await;
    frozen.stop();
}

/// Who moves the logs.
async fn holder(shop: &Shop) -> String {
    testkit::eventually(REPLACED, async || {
        let holder: Option<String> = script(shop, "return redis.call('GET', KEYS[1])", &[LEASE], &[]).await;
        holder.ok_or_else(|| anyhow::anyhow!("nobody leads"))
    })
    .await
}

/// An instance as a process, which can be frozen and killed.
fn separate(shop: &Shop, kafka: &Kafka) -> Process {
    let config = &shop.config;
    let spec = Spec::new("queue-server", env!("CARGO_BIN_EXE_queue-server"))
        .env("QUEUE_LISTEN", "127.0.0.1:0")
        .env("LOG", "info")
        .env("REDIS_URL", &config.redis.redis_url.0)
        .env("KAFKA_BOOTSTRAP", &kafka.kafka_bootstrap)
        .env("KAFKA_TOPIC_PREFIX", &kafka.kafka_topic_prefix)
        .env("INSTANCE", "separate")
        .env("INTERNAL_KEY_FILE", &config.trust.internal_key_file)
        .env("IDENTITY_JWKS_URL", &config.trust.identity_jwks_url)
        .env("PASS_KEY_FILE", &config.pass_key_files[0])
        .log(std::env::temp_dir().join(format!("{}relay.log", kafka.kafka_topic_prefix)));
    Process::start(spec).unwrap()
}

#[tokio::test]
async fn a_killed_relay_is_replaced_and_nothing_is_sent_twice() {
    let shop = Shop::open().await;
    let mut killed = separate(&shop, &kafka(&shop));
    add(&shop, 1..2_001, "*").await;
    until_moved(&kafka(&shop), 2_000).await;
    // Somewhere in the middle of sending and trimming.
    add(&shop, 2_001..30_001, "*").await;
    killed.kill9();
    let since = std::time::Instant::now();
    let _other = Instance::start(&shop, |_| {}).await;
    holder(&shop).await;
    until_moved(&kafka(&shop), 30_000).await;
    assert!(since.elapsed() < REPLACED, "replaced after {:?}", since.elapsed());
}

#[tokio::test]
async fn without_its_notes_a_relay_finds_the_chains_ends_in_the_topic() {
    let shop = Shop::open().await;
    let relay = Instance::start(&shop, |_| {}).await;
    add(&shop, 1..1_001, "*").await;
    until_moved(&kafka(&shop), 1_000).await;
    drop(relay);
    let keys = ["queue:{relay}:read", "queue:{relay}:at:7", LEASE].map(String::from);
    shop.redis.delete(keys.into()).await.unwrap();
    add(&shop, 1_001..1_501, "*").await;
    let relay = Instance::start(&shop, |_| {}).await;
    until_moved(&kafka(&shop), 1_500).await;
    drop(relay);

    // Notes that are wrong are found to be.
    let _: i64 =
        script(&shop, "redis.call('SET', KEYS[1], '3:12345') return 1", &["queue:{relay}:at:7"], &[]).await;
    add(&shop, 1_501..1_601, "*").await;
    let _relay = Instance::start(&shop, |_| {}).await;
    until_moved(&kafka(&shop), 1_600).await;
}

#[tokio::test]
async fn a_note_that_is_missing_is_not_hidden_by_the_next_one() {
    let shop = Shop::open().await;
    let mut relay = Instance::start(&shop, |_| {}).await;
    add(&shop, 1..101, "*").await;
    until_moved(&kafka(&shop), 100).await;
    for round in 1..=3 {
        // For a moment, in which its holder mostly does not look.
        let lost = "return redis.call('SET', KEYS[1], 'another', 'PX', 200)";
        let _: String = script(&shop, lost, &[LEASE], &[]).await;
        add(&shop, 200 * round - 99..200 * round + 1, "*").await;
        until_moved(&kafka(&shop), 200 * round).await;
        // Records in every partition that are noted.
        let others = (100 * round..100 * round + 16).map(ProductId);
        for product in others.clone() {
            add_to(&shop, product, 1..2, "*").await;
        }
        testkit::eventually(REPLACED, async || {
            for product in others.clone() {
                let at = format!("queue:{{relay}}:at:{product}");
                anyhow::ensure!(shop.redis.text(&at).await?.is_some(), "no record of room {product}");
            }
            Ok(())
        })
        .await;
        drop(relay);
        shop.redis.delete(vec![LEASE.into()]).await.unwrap();
        relay = Instance::start(&shop, |_| {}).await;
        add(&shop, 200 * round + 1..200 * round + 101, "*").await;
        until_moved(&kafka(&shop), 200 * round + 100).await;
    }
}

#[tokio::test]
async fn the_last_minute_stays_in_the_stream_for_followers() {
    let shop = Shop::open().await;
    let now = crate::shop::now().timestamp_millis();
    for (tickets, age_ms) in [(1..2_001, 120_000), (2_001..2_101, 30_000)] {
        add(&shop, tickets, &format!("{}-*", now - age_ms)).await;
    }
    let oldest = async || shop.redis.entries(LOG, "-", 1).await.unwrap()[0].0.clone();
    let before = oldest().await;
    let _relay = Instance::start(&shop, |_| {}).await;
    until_moved(&kafka(&shop), 2_100).await;
    testkit::eventually(SOON, async || {
        let oldest = StreamId::parse(&oldest().await).unwrap();
        anyhow::ensure!(oldest > StreamId::parse(&before).unwrap(), "nothing was trimmed");
        Ok(())
    })
    .await;
    let left = shop.log().await;
    // Whole nodes of the stream go: a hundred entries more may stay.
    assert!((100..=200).contains(&left.len()), "{} entries are left", left.len());
}

/// An instance with a broker of its own, which can be killed.
async fn apart(shop: &Shop) -> (Broker, Kafka, Instance) {
    let broker = Broker::start().await;
    let kafka = Kafka { kafka_bootstrap: broker.url(), ..shop.config.kafka.clone() };
    let relay = Instance::start(shop, |config| config.kafka = kafka.clone()).await;
    (broker, kafka, relay)
}

/// What a broker leaves that was killed after its word and before the transaction's end, and forgot the end when it came
/// back: the record is there, and hidden.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_broker_forgot_to_end_is_undone_and_its_steps_sent_again() {
    /// What ends a transaction, as it lies in a segment.
    const END_BYTES: u64 = 78;
    let shop = Shop::open().await;
    let (mut broker, kafka, relay) = apart(&shop).await;
    add(&shop, 1..101, "*").await;
    until_moved(&kafka, 100).await;
    add(&shop, 101..201, "*").await;
    until_moved(&kafka, 200).await;

    broker.kafka.kill9();
    drop(relay);
    broker.lose(&kafka.topic(QUEUE_EVENTS), END_BYTES);
    broker.kafka.restart().unwrap();
    assert!(chained(&kafka, PRODUCT).unwrap().len() < 200, "nothing is hidden");
    let _relay = Instance::start(&shop, |config| config.kafka = kafka.clone()).await;
    until_moved(&kafka, 200).await;
    add(&shop, 201..301, "*").await;
    until_moved(&kafka, 300).await;
}

/// A stranger's transaction in the room's partition: nothing that comes after its record is shown while it is open.
fn transaction_of_another(kafka: &Kafka) -> BaseProducer {
    let mut settings = kafka.client();
    settings.set("transactional.id", kafka.group("another")).set("partitioner", "murmur2_random");
    let producer: BaseProducer = settings.create().unwrap();
    producer.init_transactions(SOON).unwrap();
    producer.begin_transaction().unwrap();
    let (topic, key) = (kafka.topic(QUEUE_EVENTS), PRODUCT.to_string());
    producer.send(BaseRecord::to(&topic).key(&key).payload("never committed")).unwrap();
    producer.flush(SOON).unwrap();
    producer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_topic_does_not_show_is_neither_noted_nor_trimmed() {
    let (shop, now) = (Shop::open().await, crate::shop::now().timestamp_millis());
    let _relay = Instance::start(&shop, |_| {}).await;
    add(&shop, 1..1_001, &format!("{}-*", now - 120_000)).await;
    let place = testkit::eventually(SOON, async || {
        shop.redis.text("queue:{relay}:at:7").await?.ok_or_else(|| anyhow::anyhow!("not noted"))
    })
    .await;
    let another = transaction_of_another(&kafka(&shop));
    add(&shop, 1_001..3_001, &format!("{}-*", now - 110_000)).await;
    // It gives up when it finds that out, and the next time before it sends.
    for _ in 0..2 {
        testkit::eventually(REPLACED * 2, async || {
            let lease = shop.redis.text(LEASE).await?;
            anyhow::ensure!(lease.is_none(), "still leads");
            Ok(())
        })
        .await;
        holder(&shop).await;
    }
    assert_eq!(shop.redis.text("queue:{relay}:at:7").await.unwrap(), Some(place));
    let log = shop.log().await;
    assert!(log.len() >= 2_000, "{} steps are left", log.len());

    another.abort_transaction(SOON).unwrap();
    add(&shop, 3_001..3_002, "*").await;
    until_moved(&kafka(&shop), 3_001).await;
    testkit::eventually(REPLACED, async || {
        let left = shop.log().await.len();
        anyhow::ensure!(left <= 200, "{left} steps are left");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_is_not_trimmed_while_the_broker_is_away() {
    let shop = Shop::open().await;
    let (mut broker, kafka, _relay) = apart(&shop).await;
    add(&shop, 1..1_001, "*").await;
    until_moved(&kafka, 1_000).await;

    broker.kafka.kill9();
    add(&shop, 1_001..3_001, "*").await;
    broker.kafka.restart().unwrap();
    until_moved(&kafka, 3_000).await;
    // Younger than a minute: sent or not, nothing was trimmed.
    assert_eq!(shop.log().await.len(), 3_000);
}
