//! Each rule, kept and broken.

use proptest::prelude::*;

use super::*;

const GRID: Grid = Grid { opens_at_ms: 1_000, interval_ms: 1_000, count: 2 };

fn step(step: StepKind, user: i64, ticket: i64, at: i64) -> Step {
    Step { user: Some(UserId(user)), ticket: Some(Ticket(ticket)), ..Step::new(step, at) }
}

fn ready(user: i64, ticket: i64, at: i64) -> Step {
    let interval = (at - GRID.opens_at_ms) / GRID.interval_ms;
    Step { interval: Some(interval), count: Some(GRID.count), ..step(StepKind::Ready, user, ticket, at) }
}

fn line(users: i64) -> Vec<Step> {
    (1..=users).map(|user| step(StepKind::Joined, user, user, 0)).collect()
}

/// Replays the steps from the first to the last.
fn replay(steps: &[Step], grid: Option<Grid>) -> Story {
    let mut replay = Replay::new(grid);
    for step in steps {
        replay.step(step);
    }
    replay.end()
}

/// The names of the rules that were broken.
fn broken(log: &[Step]) -> Vec<&'static str> {
    let story = replay(log, None);
    let rules = [
        ("inversions", &story.inversions),
        ("doubles", &story.doubles),
        ("strays", &story.strays),
        ("stale", &story.stale),
        ("rose", &story.rose),
        ("over budget", &story.over_budget),
        ("early", &story.early),
        ("refused", &story.refused),
        ("unfair", &story.unfair),
    ];
    rules.into_iter().filter(|(_, cases)| !cases.is_empty()).map(|(name, _)| name).collect()
}

fn is_clean(story: &Story) -> bool {
    let Story { inversions, doubles, strays, stale, rose, over_budget, early, refused, unfair, .. } = story;
    [inversions, doubles, strays, stale, rose, over_budget, early, refused, unfair]
        .iter()
        .all(|one| one.is_empty())
}

/// A step of the whole room.
fn of_all(kind: StepKind, at: i64) -> Step {
    Step { user: None, ticket: None, ..step(kind, 0, 0, at) }
}

#[test]
fn a_line_in_order_is_clean() {
    let mut log = line(3);
    log.extend([ready(1, 1, 1_000), ready(2, 2, 1_500), step(StepKind::Admitted, 1, 1, 1_600)]);
    log.extend([ready(3, 3, 2_000), step(StepKind::Completed, 1, 1, 2_100)]);
    log.push(Step { user: None, ticket: None, ..step(StepKind::SoldOut, 0, 0, 2_200) });
    let story = replay(&log, Some(GRID));
    assert!(is_clean(&story), "{story:?}");
    assert_eq!(story.called, 3);
}

#[test]
fn who_walks_past_somebody_waiting_is_found() {
    let mut log = line(3);
    log.extend([ready(2, 2, 1_000), ready(1, 1, 1_000)]);
    let story = replay(&log, Some(GRID));
    assert_eq!(story.inversions, ["ticket 2 was called while 1 was waiting"]);
}

#[test]
fn walking_straight_through_past_a_line_is_found() {
    let mut log = line(1);
    log.push(step(StepKind::Joined, 2, 2, 1_000));
    log.push(Step { step: StepKind::Admitted, ..ready(2, 2, 1_000) });
    assert_eq!(replay(&log, Some(GRID)).inversions.len(), 1);
}

#[test]
fn who_moved_to_the_end_is_not_overtaken() {
    let mut log = line(2);
    log.extend([step(StepKind::Moved, 1, 3, 500), ready(2, 2, 1_000), ready(1, 3, 1_000)]);
    assert!(is_clean(&replay(&log, Some(GRID))));
}

#[test]
fn a_second_live_ticket_is_found() {
    let mut log = line(2);
    log.push(step(StepKind::Joined, 1, 3, 500));
    let story = replay(&log, Some(GRID));
    assert_eq!(story.doubles, ["user 1 holds 1 and draws 3"]);
}

#[test]
fn one_too_many_in_an_interval_is_found_by_the_log_and_by_the_clock() {
    let mut log = line(3);
    log.extend([ready(1, 1, 1_000), ready(2, 2, 1_100), ready(3, 3, 1_999)]);
    assert_eq!(replay(&log, Some(GRID)).over_budget.len(), 2);
    assert_eq!(replay(&log, None).over_budget.len(), 1);
}

#[test]
fn a_false_interval_number_does_not_hide_one_too_many() {
    let mut log = line(3);
    log.extend([ready(1, 1, 1_000), ready(2, 2, 1_100)]);
    log.push(Step { interval: Some(1), ..ready(3, 3, 1_200) });
    assert_eq!(replay(&log, Some(GRID)).over_budget.len(), 1);
}

#[test]
fn a_turn_that_ran_out_is_given_again() {
    let mut log = line(3);
    log.extend([ready(1, 1, 1_000), ready(2, 2, 1_100)]);
    log.push(Step { step: StepKind::ClaimExpired, ..ready(1, 1, 1_200) });
    log.push(ready(3, 3, 1_300));
    assert!(is_clean(&replay(&log, Some(GRID))));
}

#[test]
fn by_hand_spends_no_budget_but_keeps_the_order() {
    let by_hand = |user| Step { by_hand: true, interval: None, ..ready(user, user, 100) };
    let mut log = line(4);
    log.extend([by_hand(1), by_hand(2), by_hand(4)]);
    let story = replay(&log, Some(GRID));
    assert!(story.over_budget.is_empty() && story.early.is_empty());
    assert_eq!(story.inversions.len(), 1);
}

#[test]
fn who_was_let_in_without_joining_or_too_early_is_found() {
    let mut log = line(1);
    log.extend([ready(1, 1, 999), step(StepKind::Admitted, 9, 9, 1_000)]);
    let story = replay(&log, Some(GRID));
    assert_eq!((story.early.len(), story.strays.len()), (1, 1));
}

proptest! {
    /// Any order of calls: the number of inversions is the number of calls with somebody smaller still
    /// waiting.
    #[test]
    fn inversions_are_counted_exactly(order in Just((1..=12_i64).collect::<Vec<_>>()).prop_shuffle()) {
        let mut log = line(12);
        log.extend(order.iter().map(|ticket| ready(*ticket, *ticket, 1_000 + 500 * ticket)));
        let overtakes = |at: usize| order[at + 1..].iter().any(|later| *later < order[at]);
        let expected = (0..order.len()).filter(|at| overtakes(*at)).count();
        prop_assert_eq!(replay(&log, None).inversions.len(), expected);
    }
}

#[test]
fn who_is_away_is_passed_over_and_goes_first_when_back() {
    let away = |kind| step(kind, 1, 1, 1_000);
    let mut log = line(4);
    log.extend([away(StepKind::Away), ready(2, 2, 1_000), away(StepKind::Back), ready(1, 1, 2_000)]);
    log.push(ready(3, 3, 2_100));
    assert!(broken(&log).is_empty());

    let mut log = line(3);
    log.extend([away(StepKind::Away), ready(2, 2, 1_000), away(StepKind::Back), ready(3, 3, 1_100)]);
    assert_eq!(broken(&log), ["inversions"]);
    // Nobody who is away is called, and nobody whose grace is over comes back.
    assert_eq!(broken(&[&line(1)[..], &[away(StepKind::Away), ready(1, 1, 1_000)]].concat()), ["strays"]);
    let mut log = line(1);
    log.extend([StepKind::Away, StepKind::Expired, StepKind::Back].map(away));
    assert_eq!(broken(&log), ["strays"]);
}

#[test]
fn nobody_walks_straight_through_past_those_who_are_away() {
    let mut log = line(1);
    log.extend([step(StepKind::Away, 1, 1, 900), step(StepKind::Joined, 2, 2, 1_000)]);
    log.push(Step { step: StepKind::Admitted, ..ready(2, 2, 1_000) });
    assert_eq!(broken(&log), ["inversions"]);
}

#[test]
fn a_ticket_that_comes_in_before_others_is_found() {
    let mut log = line(3);
    log.push(step(StepKind::Left, 2, 2, 500));
    log.push(step(StepKind::Joined, 4, 2, 600));
    assert_eq!(broken(&log), ["stale", "rose"]);
}

#[test]
fn somebody_elses_ticket_is_found() {
    let mut log = line(2);
    log.push(Step { user: Some(UserId(2)), ..ready(1, 1, 1_000) });
    assert_eq!(broken(&log), ["strays"]);
}

#[test]
fn admissions_while_stopped_or_paused_or_under_another_budget_are_found() {
    let scheduled = |count| Step { count: Some(count), ..of_all(StepKind::Scheduled, 0) };
    let run = |steps: &[Step]| broken(&[&line(2)[..], steps].concat());
    assert!(run(&[scheduled(2), ready(1, 1, 1_000)]).is_empty());
    assert_eq!(run(&[scheduled(2), scheduled(0), ready(1, 1, 1_000)]), ["refused"]);
    assert!(run(&[scheduled(2), scheduled(0), scheduled(2), ready(1, 1, 1_000)]).is_empty());
    let (held, resumed) = (of_all(StepKind::Held, 500), of_all(StepKind::Resumed, 600));
    assert_eq!(run(&[scheduled(2), held.clone(), ready(1, 1, 1_000)]), ["refused"]);
    assert!(run(&[scheduled(2), held, resumed, ready(1, 1, 1_000)]).is_empty());
    assert_eq!(run(&[scheduled(9), ready(1, 1, 1_000)]), ["refused"]);
    assert_eq!(run(&[scheduled(2), ready(1, 1, 3_000), ready(2, 2, 1_000)]), ["refused"]);
}

#[test]
fn a_right_that_was_revoked_is_over() {
    let mut log = line(2);
    log.extend([ready(1, 1, 1_000), step(StepKind::Admitted, 1, 1, 1_100), of_all(StepKind::Revoked, 1_200)]);
    log.push(step(StepKind::Joined, 1, 3, 1_300));
    assert!(broken(&log).is_empty());
    log.push(step(StepKind::AdmissionExpired, 1, 1, 1_400));
    assert_eq!(broken(&log), ["strays"]);
}

const SEED: &str = "5eed";

/// Five people, drawn; then called in this order of their tickets before the draw.
fn drawn(seed: &str, count: i64, calls: &[i64]) -> Vec<Step> {
    let text = |kind, text: String| Step { text: Some(text), ..of_all(kind, 900) };
    let mut log = vec![text(StepKind::Committed, draw::commitment(SEED))];
    log.extend(line(5));
    log.push(Step { ticket: Some(Ticket(count)), ..text(StepKind::Drawn, seed.into()) });
    // Who joins during the draw stands behind all.
    log.push(step(StepKind::Joined, 6, 11, 900));
    log.push(of_all(StepKind::DrawEnded, 950));
    for (place, old) in (0..).zip(calls) {
        let new = i64::try_from(draw::drawn(SEED, old.unsigned_abs(), 5)).unwrap();
        log.push(ready(*old, new, 1_000 + 500 * place));
    }
    log
}

/// The five in the order of the draw.
fn order() -> Vec<i64> {
    let mut order: Vec<i64> = (1..=5).collect();
    order.sort_unstable_by_key(|old| draw::drawn(SEED, old.unsigned_abs(), 5));
    order
}

#[test]
fn a_draw_is_computed_again() {
    let order = order();
    assert!(broken(&drawn(SEED, 5, &order)).is_empty(), "{:?}", replay(&drawn(SEED, 5, &order), None));
    let mut other = order.clone();
    other.swap(0, 1);
    assert_eq!(broken(&drawn(SEED, 5, &other)), ["inversions"]);
    assert!(broken(&drawn("another", 5, &order)).contains(&"unfair"));
    // Somebody who waited was left out.
    assert!(broken(&drawn(SEED, 4, &[])).contains(&"unfair"));
    let mut log = drawn(SEED, 5, &order);
    log.retain(|step| step.step != StepKind::DrawEnded);
    assert!(broken(&log).contains(&"unfair"));
    let mut log = drawn(SEED, 5, &order);
    log.retain(|step| step.step != StepKind::Committed);
    assert_eq!(broken(&log), ["unfair"]);
}

#[test]
fn who_leaves_during_the_draw_may_still_have_the_old_ticket() {
    let order = order();
    let mut log = drawn(SEED, 5, &order[1..]);
    let ended = log.iter().position(|step| step.step == StepKind::DrawEnded).unwrap();
    log.insert(ended, step(StepKind::Left, order[0], order[0], 920));
    assert!(broken(&log).is_empty());
}

fn recovered(last: i64, at: i64) -> Step {
    Step { ticket: Some(Ticket(last)), ..of_all(StepKind::Recovered, at) }
}

#[test]
fn what_the_store_lost_is_nobodys_fault() {
    // Of four joins it kept two; of the call of 1 it knows nothing.
    let mut log = line(4);
    for step in &mut log {
        step.at = 1_900;
    }
    log.extend([ready(1, 1, 1_950), recovered(2, 5_000)]);
    // 1 is called again, in another interval; 3 joins anew, and 4 as well.
    log.extend([step(StepKind::Joined, 3, 100_003, 5_100), step(StepKind::Joined, 4, 100_004, 5_100)]);
    log.extend([ready(1, 1, 6_000), ready(2, 2, 6_100), ready(3, 100_003, 7_000)]);
    assert!(broken(&log).is_empty(), "{:?}", replay(&log, None));
    // Who did not lose anything is still not overtaken.
    log.truncate(log.len() - 2);
    log.push(ready(3, 100_003, 7_000));
    assert_eq!(broken(&log), ["inversions"]);
}

#[test]
fn the_running_interval_counts_as_spent_after_a_recovery() {
    let mut log = line(3);
    log.extend([ready(1, 1, 1_100), recovered(3, 1_500), ready(2, 2, 1_600)]);
    assert_eq!(broken(&log), ["over budget"]);
    let mut log = line(3);
    log.extend([ready(1, 1, 1_100), recovered(3, 1_500), ready(2, 2, 2_000), ready(3, 3, 2_100)]);
    assert!(broken(&log).is_empty());
}

#[test]
fn a_move_that_was_lost_leaves_the_old_ticket() {
    let mut log = line(2);
    log.extend([
        step(StepKind::Moved, 1, 3, 100),
        recovered(2, 3_000),
        ready(1, 1, 4_000),
        ready(2, 2, 4_100),
    ]);
    assert!(broken(&log).is_empty(), "{:?}", replay(&log, None));
    let mut log = line(2);
    log.extend([
        step(StepKind::Moved, 1, 3, 100),
        recovered(2, 3_000),
        step(StepKind::Moved, 1, 100_003, 3_100),
    ]);
    log.extend([ready(2, 2, 4_000), ready(1, 100_003, 4_100)]);
    assert!(broken(&log).is_empty(), "{:?}", replay(&log, None));
}

#[test]
fn a_draw_that_was_lost_is_drawn_again() {
    let again = drawn(SEED, 5, &order());
    let mut log: Vec<Step> =
        again.iter().take_while(|step| step.step != StepKind::DrawEnded).cloned().collect();
    log.push(recovered(5, 3_000));
    let draw_again =
        again.iter().skip_while(|step| step.step != StepKind::Drawn).filter(|step| step.at < 1_000);
    let mut jumped: Vec<Step> = draw_again.filter(|step| step.step != StepKind::Joined).cloned().collect();
    jumped[0].ticket = Some(Ticket(100_005));
    log.extend(jumped);
    let mut order: Vec<i64> = (1..=5).collect();
    order.sort_unstable_by_key(|old| draw::drawn(SEED, old.unsigned_abs(), 100_005));
    for (place, old) in (0..).zip(order) {
        let new = i64::try_from(draw::drawn(SEED, old.unsigned_abs(), 100_005)).unwrap();
        log.push(ready(old, new, 4_000 + 500 * place));
    }
    assert!(broken(&log).is_empty(), "{:?}", replay(&log, None));
}
