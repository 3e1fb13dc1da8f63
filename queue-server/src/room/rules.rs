//! What a shopper is told about a place, and what news of an order means: pure decisions. Who is let in, and when, is
//! decided in `lua/`, where it is atomic.

use chrono::{DateTime, TimeDelta};
use common::wire::Time;
use common::wire::event::Refusal;
use common::wire::id::{ProductId, UserId};
use common::wire::order::OrderState;
use common::wire::product::ProductSnapshot;
use common::wire::queue::{Place, QueueState, WaitReason};
use sha2::{Digest as _, Sha256};

use super::store::{Room, Standing, Status};

/// Whoever is this near to the front asks again every [`POLL_MIN_MS`].
const NEAR_RANK: u64 = 100;
/// Whoever is this far from the front, and everybody with nothing to wait for, asks again every [`POLL_MAX_MS`].
const FAR_RANK: u64 = 10_000;
const POLL_MIN_MS: u64 = 1_000;
const POLL_MAX_MS: u64 = 10_000;
/// Polls are spread by this much to either side, so that people who came together do not ask together for ever.
const JITTER_PERCENT: u64 = 30;

/// A moment of the room's clock, in ms since 1970.
#[must_use]
pub fn time(ms: i64) -> Time {
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::UNIX_EPOCH)
}

/// When a product's room opens by what its seller wants, in ms since 1970.
#[must_use]
pub fn opens_at_ms(snapshot: &ProductSnapshot) -> i64 {
    let delay = TimeDelta::seconds(snapshot.queue.admission_delay_s.into());
    (snapshot.sale_start_time + delay).timestamp_millis()
}

/// What is kept of an `Idempotency-Key`.
#[must_use]
pub fn key_hash(key: &str) -> [u8; 8] {
    let digest = Sha256::digest(key);
    std::array::from_fn(|at| digest[at])
}

/// How fast people are let in, as measured: admissions per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Over the last 60 s.
    pub minute: f64,
    /// Over the last 300 s.
    pub five_minutes: f64,
}

/// What a room's log and its operators add to its facts.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// `None` while it cannot be said.
    pub pace: Option<Pace>,
    /// For everybody waiting.
    pub said: Option<String>,
}

/// A shopper's place as told; the token is added for those admitted.
#[must_use]
pub fn place(product: ProductId, user: UserId, standing: &Standing, outlook: &Outlook) -> Place {
    let Standing { state, now, rank, total, room, .. } = standing;
    let is_waiting = *state == QueueState::Waiting;
    // Before the draw nobody has a place.
    let rank = Some(*rank).filter(|rank| is_waiting && *rank > 0);
    let wait = rank.and_then(|rank| expected_wait(room, rank, *now, outlook.pace));
    let starts_soon = is_waiting && rank.is_none() && room.stopped.is_none();
    let opens_in_ms = opens_in_ms(room, *now);
    let is_told = matches!(state, QueueState::Waiting | QueueState::Ready);
    Place {
        product_id: product,
        state: *state,
        rank,
        ahead: rank.map(|rank| rank - 1),
        total: *total,
        eta_low_s: wait.map(|wait| wait.low_ms / 1_000),
        eta_high_s: wait.and_then(|wait| wait.high_ms).map(|ms| ms.div_ceil(1_000)),
        next_poll_at: time(now + poll_after_ms(standing, opens_in_ms, spread(user, *now))),
        server_time: time(*now),
        starts_at: (opens_in_ms.is_some() || starts_soon).then(|| time(room.opens_at)),
        claim_until: standing.claim_until.map(time),
        token: None,
        expires_at: None,
        reason: reason(*state, room, *now),
        message: outlook.said.clone().filter(|_| is_told),
    }
}

/// Until a room opens, while it has not; `None` where it will not by itself.
#[must_use]
pub fn opens_in_ms(room: &Room, now: i64) -> Option<i64> {
    let will_open = room.status == Status::Live && room.stopped.is_none() && room.opens_at > now;
    will_open.then(|| room.opens_at - now)
}

/// A wait, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wait {
    /// If everything goes on as it is.
    low_ms: u64,
    /// One interval more; where room or stock may let in fewer than the timetable, by the slower pace of the last
    /// minutes. None where neither is known.
    high_ms: Option<u64>,
}

/// Longer waits are told as this one: 30 days.
const LONGEST_MS: u64 = 30 * 86_400_000;
/// Waits that are measured are told in steps of this: more would look exact.
const STEP_MS: u64 = 5_000;

/// How long somebody of this rank waits; `None` while nobody is let in.
fn expected_wait(room: &Room, rank: u64, now: i64, pace: Option<Pace>) -> Option<Wait> {
    let is_held = room.stopped.is_some() || room.held.is_some();
    if is_held || room.frozen_at.is_some() || room.available <= 0 || room.status != Status::Live {
        return None;
    }
    let Prospect { left, refill_in_ms, count, interval_ms } = prospect(room, now);
    let low_ms = match rank.checked_sub(left + 1) {
        None => 0,
        Some(behind) => refill_in_ms + behind / count * interval_ms,
    };
    if room.capacity.is_none() && !room.is_gated {
        return Some(Wait { low_ms, high_ms: Some(low_ms + interval_ms) });
    }
    let Some(Pace { minute, five_minutes }) = pace.filter(|pace| pace.minute.min(pace.five_minutes) > 0.0)
    else {
        return Some(Wait { low_ms, high_ms: None });
    };
    let (fast, slow) = (minute.max(five_minutes), minute.min(five_minutes));
    let low_ms = low_ms.max(at_pace_ms(rank, fast) / STEP_MS * STEP_MS);
    let high_ms = at_pace_ms(rank, slow).next_multiple_of(STEP_MS).max(low_ms + STEP_MS);
    Some(Wait { low_ms, high_ms: Some(high_ms) })
}

/// How long it takes until so many are let in, `per_second` of them.
fn at_pace_ms(people: u64, per_second: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, above 0; what is too long for a number becomes the largest one"
    )]
    let ms = (people as f64 / per_second * 1_000.0) as u64;
    ms.min(LONGEST_MS)
}

/// What the timetable gives from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Prospect {
    /// Units left in the running interval.
    left: u64,
    /// When the next interval begins.
    refill_in_ms: u64,
    /// Units of each interval after this one.
    count: u64,
    /// Their length.
    interval_ms: u64,
}

/// Reads the stored timetable as `roll` in `lua/lib.lua` does: intervals go by without being written.
fn prospect(room: &Room, now: i64) -> Prospect {
    let next = room.next_at.zip(room.next_count).zip(room.next_interval);
    let (mut opens_at, mut count, mut interval, mut first) =
        (room.opens_at, room.count, room.interval.max(1), room.first);
    let mut then = (count, interval);
    if let Some(((next_at, next_count), next_interval)) = next {
        then = (next_count, next_interval.max(1));
        if now >= next_at {
            first += (next_at - opens_at) / interval;
            (opens_at, count, interval) = (next_at, next_count, next_interval.max(1));
        }
    }
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    let (mut left, mut refill_at) = (0, opens_at);
    if now >= opens_at {
        let k = (now - opens_at) / interval;
        left = if first + k > room.k { count } else { count - room.spent };
        refill_at = opens_at + (k + 1) * interval;
    }
    Prospect {
        left: positive(left),
        refill_in_ms: positive(refill_at - now),
        count: positive(then.0).max(1),
        interval_ms: positive(then.1),
    }
}

/// Why nobody is let in, for those whom it concerns.
#[must_use]
pub fn reason(state: QueueState, room: &Room, now: i64) -> Option<WaitReason> {
    match state {
        QueueState::Waiting | QueueState::Ready if room.frozen_at.is_some() => Some(WaitReason::AllReserved),
        QueueState::Waiting if room.stopped.is_some() => Some(WaitReason::Stopped),
        QueueState::Waiting if room.held.is_some() => Some(WaitReason::Held),
        QueueState::Waiting if now < room.opens_at => Some(WaitReason::NotOpen),
        _ => None,
    }
}

/// When to ask again, in ms from now: the nearer to the front, the sooner; before the opening not later than that.
fn poll_after_ms(standing: &Standing, opens_in_ms: Option<i64>, spread: u64) -> i64 {
    let base = match standing.state {
        QueueState::Waiting => {
            let rank = if standing.rank == 0 { standing.total } else { standing.rank };
            let far = rank.saturating_sub(NEAR_RANK).min(FAR_RANK);
            POLL_MIN_MS + (POLL_MAX_MS - POLL_MIN_MS) * far / FAR_RANK
        }
        _ => POLL_MAX_MS,
    };
    // 70 to 130 percent, in thousandths.
    let spread = 1_000 - 10 * JITTER_PERCENT + spread % (20 * JITTER_PERCENT + 1);
    let poll = (base * spread / 1_000).clamp(POLL_MIN_MS, POLL_MAX_MS);
    let opening = opens_in_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(POLL_MAX_MS);
    i64::try_from(poll.min(opening.max(POLL_MIN_MS))).unwrap_or(i64::MAX)
}

/// A number that differs between shoppers and between their polls: the finaliser of `SplitMix64`.
#[must_use]
pub fn spread(user: UserId, now: i64) -> u64 {
    let mixed =
        (user.0.cast_unsigned() ^ now.cast_unsigned().rotate_left(32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What news of an order means for a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Units are held for, or sold to, the shopper.
    Holds,
    /// They are not any more.
    Ends,
    /// There were none left.
    Refused,
}

impl Effect {
    /// As in `lua/orders.lua`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Ends => "ends",
            Self::Refused => "refused",
        }
    }
}

/// What an order's new state means for the rooms of its lines; `None` where it means nothing.
#[must_use]
pub fn effect(state: OrderState, reason: Option<&str>) -> Option<Effect> {
    match state {
        // A late payment revives an ended order: it comes back as paid, without being reserved again.
        OrderState::Reserved | OrderState::Paid => Some(Effect::Holds),
        OrderState::Expired | OrderState::Cancelled | OrderState::Refunded => Some(Effect::Ends),
        OrderState::Rejected if reason == Some(Refusal::SoldOut.as_str()) => Some(Effect::Refused),
        OrderState::Received
        | OrderState::Rejected
        | OrderState::Paying
        | OrderState::Failed
        | OrderState::RefundPending
        | OrderState::PartiallyRefunded => None,
    }
}

#[cfg(test)]
mod tests {
    use common::wire::room::Hand;
    use proptest::prelude::*;

    use super::*;

    const OPENED: i64 = 1_800_000_000_000;

    fn room(count: i64, interval: i64, k: i64, spent: i64) -> Room {
        let facts = serde_json::json!({
            "status": "live", "opensAt": OPENED, "count": count, "interval": interval, "first": 0,
            "k": k, "spent": spent, "available": 10,
        });
        serde_json::from_value(facts).unwrap()
    }

    fn waiting(room: Room, rank: u64, now: i64) -> Standing {
        let (ticket, claim_until, admission) = (None, None, None);
        Standing {
            state: QueueState::Waiting,
            now,
            rank,
            total: rank,
            ticket,
            claim_until,
            admission,
            room: room.into(),
        }
    }

    fn wait(room: &Room, rank: u64, now: i64) -> Wait {
        expected_wait(room, rank, now, None).unwrap()
    }

    #[test]
    fn whoever_the_running_interval_still_has_units_for_waits_for_nothing() {
        let room = room(3, 60_000, 5, 1);
        let now = OPENED + 5 * 60_000 + 20_000;
        assert_eq!(wait(&room, 2, now), Wait { low_ms: 0, high_ms: Some(60_000) });
        assert_eq!(wait(&room, 3, now).low_ms, 40_000);
        assert_eq!(wait(&room, 6, now).low_ms, 100_000);
    }

    #[test]
    fn an_interval_that_nobody_spent_from_yet_has_all_its_units() {
        let room = room(3, 60_000, 4, 3);
        assert_eq!(wait(&room, 3, OPENED + 5 * 60_000).low_ms, 0);
        assert_eq!(wait(&room, 4, OPENED + 5 * 60_000).low_ms, 60_000);
    }

    #[test]
    fn before_the_opening_the_wait_counts_from_it() {
        assert_eq!(wait(&room(3, 60_000, -1, 0), 4, OPENED - 10_000).low_ms, 70_000);
    }

    #[test]
    fn the_timetable_to_come_counts_from_its_boundary() {
        let changed = Room {
            next_at: Some(OPENED + 60_000),
            next_count: Some(10),
            next_interval: Some(1_000),
            ..room(1, 60_000, 0, 1)
        };
        assert_eq!(wait(&changed, 10, OPENED + 50_000), Wait { low_ms: 10_000, high_ms: Some(11_000) });
        assert_eq!(wait(&changed, 11, OPENED + 50_000).low_ms, 11_000);
        // Past the boundary it is the timetable, written or not.
        assert_eq!(wait(&changed, 10, OPENED + 61_500).low_ms, 0);
        assert_eq!(wait(&changed, 11, OPENED + 61_500).low_ms, 500);
    }

    #[test]
    fn no_wait_is_told_where_none_is_known() {
        let open = room(3, 60_000, 0, 0);
        for held in [
            Room { stopped: Some(Hand::Staff), ..open.clone() },
            Room { held: Some(Hand::Seller), ..open.clone() },
            Room { frozen_at: Some(OPENED), ..open.clone() },
            Room { available: 0, ..open.clone() },
            Room { status: Status::SoldOut, ..open.clone() },
        ] {
            assert_eq!(expected_wait(&held, 1, OPENED, None), None);
        }
        let narrow = Room { capacity: Some(1), ..open };
        assert_eq!(wait(&narrow, 4, OPENED), Wait { low_ms: 60_000, high_ms: None });
    }

    #[test]
    fn where_fewer_may_be_let_in_the_wait_is_told_by_the_measured_paces() {
        let narrow = Room { capacity: Some(1), ..room(100, 60_000, 0, 0) };
        let pace = |minute, five_minutes| Some(Pace { minute, five_minutes });
        let told = |rank, pace| expected_wait(&narrow, rank, OPENED, pace).unwrap();
        assert_eq!(told(100, pace(0.5, 1.0)), Wait { low_ms: 100_000, high_ms: Some(200_000) });
        assert_eq!(told(101, pace(1.0, 0.5)), Wait { low_ms: 100_000, high_ms: Some(205_000) }, "rounded up");
        assert_eq!(told(1, pace(9.0, 9.0)), Wait { low_ms: 0, high_ms: Some(5_000) });
        // The timetable lets in the 150th no sooner than the next interval.
        assert_eq!(told(150, pace(9.0, 9.0)), Wait { low_ms: 60_000, high_ms: Some(65_000) });
        for unknown in [None, pace(0.0, 1.0), pace(0.0, 0.0)] {
            assert_eq!(told(100, unknown).high_ms, None);
        }
    }

    #[test]
    fn only_a_waiting_shopper_has_a_rank_and_a_reason_to_wait() {
        let told = place(
            ProductId(7),
            UserId(1),
            &waiting(room(3, 60_000, -1, 0), 5, OPENED - 10_000),
            &Outlook::default(),
        );
        assert_eq!((told.rank, told.ahead, told.reason), (Some(5), Some(4), Some(WaitReason::NotOpen)));
        assert_eq!(told.starts_at, Some(time(OPENED)));
        let gone = Standing { state: QueueState::Left, rank: 0, ..waiting(room(3, 60_000, 0, 0), 5, OPENED) };
        let told = place(ProductId(7), UserId(1), &gone, &Outlook::default());
        assert_eq!((told.rank, told.eta_low_s, told.reason, told.starts_at), (None, None, None, None));
    }

    #[test]
    fn before_the_draw_nobody_has_a_place_but_everybody_knows_when_it_is() {
        for now in [OPENED - 10_000, OPENED + 500] {
            let drawn = Standing { total: 8, ..waiting(room(3, 60_000, -1, 0), 0, now) };
            let told = place(ProductId(7), UserId(1), &drawn, &Outlook::default());
            assert_eq!((told.rank, told.ahead, told.eta_low_s, told.total), (None, None, None, 8));
            assert_eq!((told.state, told.starts_at), (QueueState::Waiting, Some(time(OPENED))));
        }
    }

    #[test]
    fn news_of_an_order_mean_what_the_table_says() {
        let sold_out = Some("soldOut");
        for (state, reason, wanted) in [
            (OrderState::Received, None, None),
            (OrderState::Reserved, None, Some(Effect::Holds)),
            (OrderState::Rejected, sold_out, Some(Effect::Refused)),
            (OrderState::Rejected, Some("priceChanged"), None),
            (OrderState::Rejected, None, None),
            (OrderState::Paying, None, None),
            (OrderState::Paid, None, Some(Effect::Holds)),
            (OrderState::Expired, None, Some(Effect::Ends)),
            (OrderState::Cancelled, sold_out, Some(Effect::Ends)),
            (OrderState::Failed, None, None),
            (OrderState::RefundPending, None, None),
            (OrderState::Refunded, None, Some(Effect::Ends)),
            (OrderState::PartiallyRefunded, None, None),
        ] {
            assert_eq!(effect(state, reason), wanted, "{state:?} {reason:?}");
        }
    }

    #[test]
    fn keys_that_differ_have_hashes_that_differ() {
        assert_ne!(key_hash("a"), key_hash("b"));
        assert_eq!(key_hash("a"), key_hash("a"));
    }

    proptest! {
        #[test]
        fn the_wait_is_when_the_timetable_has_a_unit_left_for_the_rank(
            count in 1..50_i64, interval in 1..100_i64, k in -1..20_i64, spent in -5..60_i64,
            rank in 1..500_u64, ms in -50_000..2_000_000_i64,
        ) {
            let (interval, now) = (interval * 1_000, OPENED + ms);
            let running = if ms >= 0 { ms / interval } else { -1 };
            // What is stored never lies ahead of the clock, and an interval begins unspent.
            let (k, spent) = if k > running { (running, 0) } else { (k, spent) };
            let low = wait(&room(count, interval, k, spent), rank, now).low_ms;
            let mut behind = i64::try_from(rank).unwrap();
            let mut at = running.max(0);
            if running >= 0 {
                behind -= (if k == running { count - spent } else { count }).max(0);
                at += 1;
            }
            let mut begins = now;
            while behind > 0 {
                begins = OPENED + at * interval;
                behind -= count;
                at += 1;
            }
            prop_assert_eq!(i64::try_from(low).unwrap(), begins - now);
        }

        #[test]
        fn polls_are_spread_within_their_bounds_and_do_not_miss_the_opening(
            rank in 1..1_000_000_u64, user in any::<i64>(), ms in -100_000..100_000_i64,
        ) {
            let now = OPENED + ms;
            let told = place(ProductId(7), UserId(user), &waiting(room(3, 60_000, -1, 0), rank, now), &Outlook::default());
            let poll = (told.next_poll_at - told.server_time).num_milliseconds();
            prop_assert!((1_000..=10_000).contains(&poll), "{poll}");
            prop_assert!(rank > NEAR_RANK || poll <= 1_300, "{poll}");
            prop_assert!(ms >= 0 || poll <= (-ms).max(1_000), "{poll}");
        }
    }
}
