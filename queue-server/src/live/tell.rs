//! Who of a room's listeners is told what, and when: what happened to oneself at once, what concerns everybody at once,
//! and how the line moves, or stands still, the more often the nearer one is to its front.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::wire::id::UserId;
use common::wire::queue::QueueState;
use futures::StreamExt as _;
use futures::stream;
use tokio::time::{MissedTickBehavior, interval};

use super::room::{Heard, Room};
use super::seat::{LOGIN, Next, RECONNECT, Said, Seat};
use super::view::Notice;
use crate::app::App;
use crate::room::http::view;

/// The front of the line is told every round, those up to the next rank every fifth, the others instead of a sign of life.
/// Of 100,000 people who wait that makes 8,800 events per second at most.
const ROUND: Duration = Duration::from_secs(1);
const NEAR_RANK: u64 = 1_000;
const FAR_RANK: u64 = 10_000;
/// Rounds between two signs of life, in both directions: a third of the shortest time after which somebody is away.
const ALIVE_ROUNDS: u32 = 15;
/// Listeners that one step of a walk handles: a millisecond or less.
const WALK: usize = 500;
/// Shoppers who are looked up at once.
const ASKED_MAX: usize = 64;

/// Tells a room's listeners for ever. What happened to somebody does not wait until everybody was told of the opening.
pub(crate) async fn run(app: &App, room: &Room) {
    tokio::join!(each(app, room), all(app, room));
}

async fn each(app: &App, room: &Room) {
    loop {
        room.touches.notified().await;
        own(app, room).await;
    }
}

async fn all(app: &App, room: &Room) {
    let mut told: Option<Notice> = None;
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_round = tokio::select! { () = room.news.notified() => false, _ = rounds.tick() => true };
        let notice = room.view().notice();
        if told.as_ref() != Some(&notice) {
            everybody(room, &notice, notice.is_for_all(told.as_ref())).await;
            told = Some(notice);
        }
        if is_round {
            round(app, room).await;
            // For those about whom the store did not answer.
            room.touches.notify_one();
        }
    }
}

/// Ends all streams, so that their listeners go to another instance.
pub(crate) async fn goodbye(room: &Room) {
    walk(room, |seats| seats.iter().for_each(|seat| seat.tell(Next::Last(RECONNECT)))).await;
}

/// Takes a step for all listeners, some at a time.
async fn walk(room: &Room, mut step: impl FnMut(&[Arc<Seat>])) {
    let mut seats = room.seats_after(0, WALK);
    while let Some(last) = seats.last().map(|seat| seat.number) {
        step(&seats);
        tokio::task::yield_now().await;
        seats = room.seats_after(last, WALK);
    }
}

/// Tells those whose own state changed: from memory who waits, by the store whoever does not any more, because only it
/// knows the right that a token is made from.
async fn own(app: &App, room: &Room) {
    let touched: HashSet<UserId> = room.take_touched().into_iter().collect();
    let mut asked = Vec::new();
    for user in touched {
        if room.view().ticket(user).is_some() {
            app.live.seats(room.product, user).iter().for_each(|seat| seat.tell(Next::Place));
        } else {
            asked.push(user);
        }
    }
    let answers = stream::iter(asked).map(|user| ask(app, room, user)).buffer_unordered(ASKED_MAX);
    let failed: Vec<UserId> = answers.filter_map(async |failed| failed).collect().await;
    if !failed.is_empty() {
        // Again with the next round or the next touch.
        room.keep(failed);
    }
}

/// Looks a shopper up and tells the account's streams; gives the shopper back where the store does not answer.
async fn ask(app: &App, room: &Room, user: UserId) -> Option<UserId> {
    let seats = app.live.seats(room.product, user);
    if seats.is_empty() {
        return None;
    }
    let Ok(standing) = app.store.place(room.product, user).await else { return Some(user) };
    let standing = standing?;
    let known = {
        let view = room.view();
        // Whoever came back meanwhile stands in the line: the memory says so better.
        let is_older = view.ticket(user).is_some() && view.now() >= standing.now;
        (!is_older).then(|| view.last())
    };
    for seat in seats {
        match (known, view(app, room.product, &seat.caller, &standing)) {
            (Some(known), Ok(place)) => seat.tell(Next::Said(Said::new(known, &place))),
            (None, _) => seat.tell(Next::Place),
            (_, Err(error)) => {
                tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "no token")
            }
        }
    }
    None
}

/// Tells everybody what concerns all, or those who are ready what concerns only them.
async fn everybody(room: &Room, notice: &Notice, is_for_all: bool) {
    let ended = room.view().ended();
    let ended = ended.map(|place| Said::new(room.view().last(), &place));
    walk(room, |seats| {
        let (mut told, mut unknown) = (Vec::new(), Vec::new());
        {
            let view = room.view();
            for seat in seats {
                match (view.ticket(seat.caller.user), seat.state(), &ended) {
                    (None, Some(QueueState::Ready), _) => unknown.push(seat.caller.user),
                    _ if !is_for_all => {}
                    (Some(_), ..) => told.push((seat, Next::Place)),
                    (None, Some(QueueState::Waiting), Some(said)) => {
                        told.push((seat, Next::Said(said.clone())));
                    }
                    (None, None | Some(QueueState::Waiting | QueueState::Admitted), _) => {
                        unknown.push(seat.caller.user);
                    }
                    _ => {}
                }
            }
        }
        told.into_iter().for_each(|(seat, next)| seat.tell(next));
        if !notice.is_lost {
            room.touch(unknown);
        }
    })
    .await;
}

/// Tells how the line moved, each listener in turn; sends signs of life, and notes who is there.
async fn round(app: &App, room: &Room) {
    let age = i64::try_from(room.view().age().as_secs()).unwrap_or(i64::MAX);
    app.metrics.follower_lag_seconds.with_label_values(&[&room.product.to_string()]).set(age);
    let (now_s, round) = (app.config.clock.now_s(), room.round.fetch_add(1, Ordering::Relaxed) + 1);
    walk(room, |seats| {
        let mut told = Vec::new();
        {
            let view = room.view();
            let reason = view.reason();
            for seat in seats {
                // Spread over the rounds by their numbers.
                #[expect(clippy::cast_possible_truncation, reason = "only its remainder counts")]
                let turn = round.wrapping_add(seat.number as u32);
                let is_sign = turn.is_multiple_of(ALIVE_ROUNDS);
                let stand = view.ticket(seat.caller.user).map(|ticket| (ticket, view.stand(ticket)));
                if let Some((ticket, _)) = stand.filter(|_| is_sign) {
                    room.hear(ticket, Heard::Live);
                }
                if seat.caller.until <= now_s {
                    told.push((seat, Next::Last(LOGIN)));
                } else if let Some((_, stand)) = stand
                    && turn.is_multiple_of(every(stand.0))
                    && seat.is_news(stand, reason)
                {
                    told.push((seat, Next::Place));
                } else if is_sign && seat.quiet_for(round) >= ALIVE_ROUNDS {
                    told.push((seat, Next::Alive));
                }
            }
        }
        told.into_iter().for_each(|(seat, next)| seat.tell(next));
    })
    .await;
}

/// In which rounds a rank is told.
fn every(rank: u64) -> u32 {
    if rank <= NEAR_RANK {
        1
    } else if rank <= FAR_RANK {
        5
    } else {
        ALIVE_ROUNDS
    }
}
