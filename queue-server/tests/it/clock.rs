//! The own clock of one instance is wrong by an hour. Rooms go by their store's clock, so nothing in them changes.

use chrono::TimeDelta;
use common::clock::Clock;
use common::wire::Time;
use common::wire::id::{SessionId, UserId};
use common::wire::queue::StepKind;
use common::wire::token::{Identity, LEEWAY_S, Role};
use serde_json::{Value, json};
use testkit::client::Http;
use testkit::issuers::Issuers;

use crate::live::Listener;
use crate::shop::{ROOM, SOON, Shop, now, sale_of, seconds};

const HOUR_S: i64 = 3_600;
/// So many ticks of an instance give it every chance to do wrong.
const TICKS: u64 = 10;
/// A place may be as old as a look at the store takes on a busy machine.
const LOOK_MAX: TimeDelta = TimeDelta::seconds(2);

/// One room behind two instances, the clock of the second one wrong.
struct Doors {
    shop: Shop,
    second: Http,
    clock: Clock,
    sid: SessionId,
}

impl Doors {
    async fn open(wrong_by_s: i64) -> Self {
        let shop = Shop::open().await;
        let clock = Clock::manual(now() + seconds(wrong_by_s));
        let second = shop.another_with("queue-server-2", |config| config.clock = clock.clone()).await;
        Self { shop, second, clock, sid: SessionId::new() }
    }

    /// Who a shopper is to an instance with this clock.
    fn identity(&self, user: i64, clock: &Clock) -> Identity {
        Issuers::identity_claims(UserId(user), Role::Customer, self.sid, clock)
    }

    /// A shopper at each door. An instance checks logins by its own clock, so each door's is issued by that.
    fn shopper(&self, user: i64) -> [Http; 2] {
        let doors = [(self.shop.anybody(), &self.shop.config.clock), (self.second.clone(), &self.clock)];
        doors.map(|(door, clock)| door.login(&self.shop.token_of(&self.identity(user, clock))))
    }

    /// The door at which this shopper acts; looks are at both.
    fn own(&self, user: i64) -> Http {
        let [first, second] = self.shopper(user);
        if user % 2 == 0 { first } else { second }
    }

    /// Waits until the wrong instance has ticked often.
    async fn tick(&self) {
        let ticks = async || {
            let text = self.second.get("/metrics").await?.body;
            let mut lines = text.as_str().unwrap_or_default().lines();
            let count = lines.find_map(|line| line.strip_prefix("astraphe_queue_tick_seconds_count "));
            anyhow::Ok(count.and_then(|count| count.parse::<u64>().ok()).unwrap_or(0))
        };
        let before = ticks().await.unwrap();
        testkit::eventually(SOON, async || {
            let after = ticks().await?;
            anyhow::ensure!(after >= before + TICKS, "{before}, then {after}");
            Ok(())
        })
        .await;
    }

    /// The place that both doors tell of, once it is in this state.
    async fn both(&self, user: i64, state: &str) -> Value {
        testkit::eventually(SOON, async || {
            let mut places = Vec::new();
            for door in self.shopper(user) {
                let before = now();
                let place = door.get(ROOM).await?.expect(200).body;
                let said = time(&place["serverTime"]);
                assert!((before - LOOK_MAX..=now()).contains(&said), "it was {before}: {place}");
                anyhow::ensure!(place["state"] == state, "{user} has {place}");
                places.push(lasting(place));
            }
            anyhow::ensure!(places[0] == places[1], "{places:?}");
            Ok(places.swap_remove(0))
        })
        .await
    }

    /// Whether the log has steps of these kinds.
    async fn has(&self, kinds: &[StepKind]) -> bool {
        self.shop.log().await.iter().any(|step| kinds.contains(&step.step))
    }
}

fn time(value: &Value) -> Time {
    serde_json::from_value(value.clone()).unwrap()
}

/// What is the same whenever it is asked for.
fn lasting(mut place: Value) -> Value {
    for passing in ["serverTime", "nextPollAt", "etaLowS", "etaHighS", "token"] {
        place.as_object_mut().unwrap().remove(passing);
    }
    place
}

async fn a_sale_with_one_clock_wrong(wrong_by_s: i64) {
    let doors = Doors::open(wrong_by_s).await;
    let mut sale = sale_of(2);
    // For a clock that is an hour fast, it opened long ago.
    sale.sale_start_time = now() + seconds(HOUR_S / 2);
    doors.shop.sell(&sale, 10).await;
    for user in 1..=4 {
        let place = doors.own(user).post(ROOM, &json!({})).await.unwrap().expect(200).body;
        assert_eq!((&place["state"], &place["rank"]), (&json!("waiting"), &json!(user)));
    }
    // A login that counts for everybody else is refused there, and changes nothing.
    let login = doors.shop.token(9, Role::Customer);
    doors.second.login(&login).post(ROOM, &json!({})).await.unwrap().problem(401, "invalid-token");

    doors.tick().await;
    for user in 1..=4 {
        let place = doors.both(user, "waiting").await;
        assert_eq!((&place["rank"], &place["total"]), (&json!(user), &json!(4)));
        assert_eq!(time(&place["startsAt"]).timestamp_millis(), sale.sale_start_time.timestamp_millis());
    }
    let mut told = Listener::open(&doors.shopper(3)[1]).await;
    told.until(|place| place["rank"] == 3).await;
    assert!(!doors.has(&[StepKind::Ready, StepKind::Admitted]).await, "nobody is in early");

    let opens_at = now() + seconds(1);
    let timetable = json!({"count": 2, "intervalS": 3_600, "startsAt": opens_at});
    doors.shop.manager().put(&format!("{ROOM}/schedule"), &timetable).await.unwrap().expect(200);
    for user in [1, 2] {
        let called = doors.both(user, "ready").await;
        let step = doors.shop.steps(StepKind::Ready).await.swap_remove(usize::try_from(user).unwrap() - 1);
        assert_eq!(step.user, Some(UserId(user)));
        assert!(step.at >= opens_at.timestamp_millis(), "{step:?} before {opens_at}");
        let claim_ms = time(&called["claimUntil"]).timestamp_millis() - step.at;
        // Longer only by a time in which nobody could serve the room.
        assert!((120_000..130_000).contains(&claim_ms), "{claim_ms} ms");
    }
    doors.tick().await;
    for user in [1, 2] {
        doors.has_a_pass_as_long_as_the_admission(user).await;
    }
    told.until(|place| place["rank"] == 1).await;
    for (user, rank) in [(3, 1), (4, 2)] {
        assert_eq!(doors.both(user, "waiting").await["rank"], rank);
    }
    assert_eq!(doors.shop.steps(StepKind::Ready).await.len(), 2);
    let ends = [StepKind::Away, StepKind::Expired, StepKind::ClaimExpired, StepKind::AdmissionExpired];
    assert!(!doors.has(&ends).await, "{:?}", doors.shop.log().await);
}

impl Doors {
    /// Takes the turn at the shopper's door; the right is the same at both.
    async fn has_a_pass_as_long_as_the_admission(&self, user: i64) {
        let wish = format!("{ROOM}/token");
        let _ = self.own(user).post(&wish, &json!({})).await.unwrap().expect(200);
        let steps = self.shop.steps(StepKind::Admitted).await;
        let at = steps.iter().find(|step| step.user == Some(UserId(user))).unwrap().at;
        let place = self.both(user, "admitted").await;
        for door in self.shopper(user) {
            let answer = door.post(&wish, &json!({})).await.unwrap().expect(200).body;
            // As a gateway reads it whose clock is right.
            let who = self.identity(user, &self.shop.config.clock);
            let pass = self.shop.verifier().pass(answer["token"].as_str().unwrap(), &who).await.unwrap();
            assert_eq!(pass.exp, (at + 600_000).div_euclid(1_000) - LEEWAY_S);
            assert!((0..=LOOK_MAX.num_seconds()).contains(&(now().timestamp() - pass.nbf)), "{pass:?}");
            assert_eq!(answer["expiresAt"], place["expiresAt"]);
        }
    }
}

#[tokio::test]
async fn an_instance_that_is_an_hour_fast_lets_nobody_in_early() {
    a_sale_with_one_clock_wrong(HOUR_S).await;
}

#[tokio::test]
async fn an_instance_that_is_an_hour_slow_keeps_nobody_out_for_longer() {
    a_sale_with_one_clock_wrong(-HOUR_S).await;
}
