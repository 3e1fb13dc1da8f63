//! Capacity that follows the load: down by a fifth while the services behind a sale miss a goal, up by a little while
//! they keep all of them.
//!
//! Every instance looks and decides; the script (`room/lua/adapt.lua`) lets one change through per [`EVERY_MS`] and
//! room, however many there are. What is not known changes nothing.
//!
//! - `load`: what the services' figures say.

mod load;

use std::time::Duration;

use anyhow::Context as _;
use common::wire::id::ProductId;
use common::wire::room::Adaptive;
use futures::future::join_all;
use reqwest::Url;

use crate::app::App;
use load::{Load, Sample};

/// Between two changes of a room's capacity, at least: as long as it takes to see what the last one did.
pub(crate) const EVERY_MS: u32 = 5_000;
/// Between two looks: a little more, so that one instance alone is never too early.
const LOOK: Duration = Duration::from_millis(5_050);
/// A process that takes longer to say how it is has not said it.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What to do with a capacity, and why.
#[derive(Debug, Clone, PartialEq)]
struct Decision {
    capacity: u32,
    why: String,
}

/// Adapts until the stop; without addresses to ask, there is nothing to do.
pub(crate) async fn run(app: App) {
    if app.config.load_urls.is_empty() {
        return;
    }
    let http = match reqwest::Client::builder().timeout(ANSWER_MAX).no_proxy().build() {
        Ok(http) => http,
        Err(error) => {
            tracing::error!(%error, "the services' figures cannot be asked for");
            return app.stop.stop();
        }
    };
    let mut before = Vec::new();
    while app.stop.pause(LOOK).await {
        if let Err(error) = look(&app, &http, &mut before).await {
            tracing::debug!(error = format!("{error:#}"), "capacities stay as they are");
        }
    }
}

async fn look(app: &App, http: &reqwest::Client, before: &mut Vec<Option<Sample>>) -> anyhow::Result<()> {
    let rooms = adaptive_rooms(app).await?;
    if rooms.is_empty() {
        before.clear();
        return Ok(());
    }
    let now = join_all(app.config.load_urls.iter().map(|url| sample(http, url))).await;
    let load = Load::between(before, &now);
    *before = now;
    for (product, capacity, adaptive, set_at) in rooms {
        let Some(Decision { capacity, why }) = decide(capacity, &adaptive, &load) else { continue };
        if app.store.adapt(product, set_at, capacity, &why).await? {
            tracing::info!(product = product.0, capacity, why, "capacity adapted");
        }
    }
    Ok(())
}

/// The rooms whose capacity follows the load: product, capacity, how, and when it was set.
async fn adaptive_rooms(app: &App) -> anyhow::Result<Vec<(ProductId, u32, Adaptive, i64)>> {
    let mut found = Vec::new();
    for product in app.store.rooms().await? {
        let Some(room) = app.store.room(product).await? else { continue };
        if let (Some(capacity), Some(adaptive), Some(set_at)) = (room.capacity, room.adaptive, room.cap_at) {
            found.push((product, u32::try_from(capacity).unwrap_or(u32::MAX), adaptive, set_at));
        }
    }
    Ok(found)
}

async fn sample(http: &reqwest::Client, url: &Url) -> Option<Sample> {
    let ask = async {
        let answer = http.get(url.clone()).send().await?.error_for_status()?;
        answer.text().await
    };
    let text = ask.await.with_context(|| url.to_string());
    let text = text.inspect_err(|error| tracing::debug!(error = format!("{error:#}"), "no figures"));
    text.ok().map(|text| Sample::read(&text))
}

/// The rule: any goal missed, and the capacity falls by a fifth; all kept, and it rises by 2 %, at least by one. With
/// anything unknown it does not rise. Never outside of its bounds. `None`: it stays.
fn decide(capacity: u32, wanted: &Adaptive, load: &Load) -> Option<Decision> {
    let inside = |capacity: u32| capacity.clamp(wanted.min, wanted.max.max(wanted.min));
    let (next, why) = if let Some(missed) = missed(wanted, load) {
        (u64::from(capacity) * 4 / 5, missed)
    } else if load.is_whole && load.p95_ms.is_some() {
        let more = (u64::from(capacity) * 2 / 100).max(1);
        (u64::from(capacity) + more, "all goals are kept".to_owned())
    } else {
        (u64::from(capacity), "back within its bounds".to_owned())
    };
    let next = inside(u32::try_from(next).unwrap_or(u32::MAX));
    (next != capacity).then_some(Decision { capacity: next, why })
}

/// The first goal that is missed, in words.
fn missed(wanted: &Adaptive, load: &Load) -> Option<String> {
    let p95 = load.p95_ms.filter(|p95| *p95 > wanted.p95_ms.into());
    let errors = load.error_share.filter(|share| *share > wanted.error_share);
    let lag = load.lag.filter(|lag| *lag > wanted.lag_max.into());
    p95.map(|p95| format!("95 % of requests took up to {p95:.0} ms, more than {} ms", wanted.p95_ms))
        .or_else(|| {
            let percent = |share: f64| share * 100.0;
            let goal = percent(wanted.error_share);
            errors.map(|share| format!("{:.1} % of requests failed, more than {goal:.1} %", percent(share)))
        })
        .or_else(|| lag.map(|lag| format!("{lag:.0} records wait to be read, more than {}", wanted.lag_max)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WANTED: Adaptive = Adaptive { min: 10, max: 1_000, p95_ms: 500, error_share: 0.01, lag_max: 100 };
    const GOOD: Load =
        Load { p95_ms: Some(500.0), error_share: Some(0.01), lag: Some(100.0), is_whole: true };

    fn next(capacity: u32, load: &Load) -> u32 {
        decide(capacity, &WANTED, load).map_or(capacity, |decision| decision.capacity)
    }

    #[test]
    fn every_goal_that_is_missed_takes_a_fifth_and_says_so() {
        for (load, word) in [
            (Load { p95_ms: Some(501.0), ..GOOD }, "501 ms"),
            (Load { error_share: Some(0.02), ..GOOD }, "2.0 % of requests failed"),
            (Load { lag: Some(101.0), ..GOOD }, "101 records"),
            // What is known to be bad counts, whatever else is not known.
            (Load { lag: Some(101.0), ..Load::default() }, "101 records"),
        ] {
            let decision = decide(500, &WANTED, &load).unwrap();
            assert_eq!(decision.capacity, 400);
            assert!(decision.why.contains(word), "{}", decision.why);
        }
    }

    #[test]
    fn with_all_goals_kept_it_rises_by_two_percent_and_at_least_by_one() {
        assert_eq!(next(500, &GOOD), 510);
        assert_eq!(next(10, &GOOD), 11);
        assert_eq!(next(1_000, &GOOD), 1_000);
    }

    #[test]
    fn what_is_not_known_changes_nothing() {
        for load in [
            Load::default(),
            Load { is_whole: false, ..GOOD },
            Load { p95_ms: None, error_share: None, ..GOOD },
        ] {
            assert_eq!(decide(500, &WANTED, &load), None);
        }
    }

    fn loads() -> impl Strategy<Value = Load> {
        let p95 = proptest::option::of(0.0..10_000.0_f64);
        let (share, lag) = (proptest::option::of(0.0..1.0_f64), proptest::option::of(0.0..1e9_f64));
        (p95, share, lag, any::<bool>()).prop_map(|(p95_ms, error_share, lag, is_whole)| Load {
            p95_ms,
            error_share,
            lag,
            is_whole,
        })
    }

    proptest! {
        #[test]
        fn it_never_leaves_its_bounds_wherever_it_comes_from(
            min in 1..u32::MAX, more in 0..u32::MAX, start in any::<u32>(),
            loads in proptest::collection::vec(loads(), 1..40),
        ) {
            let wanted = Adaptive { min, max: min.saturating_add(more), ..WANTED };
            let mut capacity = start;
            for load in loads {
                let decision = decide(capacity, &wanted, &load);
                prop_assert!(decision.as_ref().is_none_or(|decision| decision.capacity != capacity));
                capacity = decision.map_or(capacity, |decision| decision.capacity);
                prop_assert!((wanted.min..=wanted.max).contains(&capacity), "{capacity} of {wanted:?}");
            }
        }

        #[test]
        fn more_load_never_means_more_capacity(
            capacity in 10..1_000_u32, p95 in 0.0..2_000.0_f64, worse in 0.0..2_000.0_f64,
        ) {
            let (light, heavy) = (Load { p95_ms: Some(p95), ..GOOD }, Load { p95_ms: Some(p95 + worse), ..GOOD });
            prop_assert!(next(capacity, &heavy) <= next(capacity, &light));
        }

        #[test]
        fn a_lasting_overload_reaches_the_minimum_and_lasting_calm_the_maximum(capacity in 10..1_000_u32) {
            let bad = Load { error_share: Some(1.0), ..GOOD };
            let last = |load: &Load| (0..1_000).fold(capacity, |capacity, _| next(capacity, load));
            prop_assert_eq!((last(&bad), last(&GOOD)), (WANTED.min, WANTED.max));
        }
    }
}
