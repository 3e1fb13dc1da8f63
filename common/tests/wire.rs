//! Stored messages, one of each kind: what was once written can always be read, and reads back the same.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::collections::HashMap;
use std::path::Path;

use common::http::extract;
use common::wire::event::{Event, OrderChanged, QueueSteps, StockCommand, StockDecided};
use common::wire::id::{Ticket, UserId};
use common::wire::product::ProductSnapshot;
use common::wire::queue::{Step, StepKind};
use serde_json::Value;

fn sample(kind: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/samples/{kind}.json"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn round_trip<T: Event>(kind: &str) {
    let stored = sample(kind);
    let event: T = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(event.kind(), kind);
    let mut written = serde_json::to_value(&event).unwrap();
    written["type"] = kind.into();
    assert_eq!(written, stored);
}

#[test]
fn stock_commands_round_trip() {
    for kind in ["terms", "reserve", "confirm", "release", "restock", "adjust"] {
        round_trip::<StockCommand>(&format!("stock.{kind}.v1"));
    }
}

#[test]
fn stock_decisions_round_trip() {
    round_trip::<StockDecided>("stock.decided.v1");
}

#[test]
fn order_events_round_trip() {
    round_trip::<OrderChanged>("order.changed.v1");
}

#[test]
fn product_snapshots_round_trip() {
    round_trip::<ProductSnapshot>("product.changed.v1");
}

#[test]
fn a_product_snapshot_without_the_lengths_of_a_wait_has_the_usual_ones() {
    let whole = sample("product.changed.v1");
    let mut older = whole.clone();
    for name in ["awayAfterS", "graceS", "claimS", "claimPollS", "admissionS"] {
        older["queue"].as_object_mut().unwrap().remove(name).unwrap();
    }
    let read = |value| serde_json::from_value::<ProductSnapshot>(value).unwrap();
    assert_eq!(read(older), read(whole));
}

#[test]
fn a_product_snapshot_of_before_states_were_told_has_none() {
    let mut older = sample("product.changed.v1");
    for name in ["state", "stateVersion"] {
        older.as_object_mut().unwrap().remove(name).unwrap();
    }
    let read: ProductSnapshot = serde_json::from_value(older).unwrap();
    assert_eq!((read.state, read.state_version), (None, 0));
}

#[test]
fn steps_of_rooms_round_trip() {
    round_trip::<QueueSteps>("queue.steps.v1");
}

#[test]
fn a_field_of_a_later_version_is_ignored() {
    let mut newer = sample("stock.decided.v1");
    newer["later"] = 1.into();
    assert!(serde_json::from_value::<StockDecided>(newer).is_ok());
}

#[test]
fn a_wrong_body_names_the_field_and_the_rule() {
    #[derive(Debug, serde::Deserialize, garde::Validate)]
    #[serde(rename_all = "camelCase")]
    struct Wish {
        #[garde(range(min = 1))]
        unit_count: i64,
    }
    let code = |body: &str| extract::read::<Wish>(body.as_bytes()).map(|wish| wish.unit_count);
    assert_eq!(code(r#"{"unitCount": 2}"#).unwrap(), 2);
    assert_eq!(code("{").unwrap_err().code, "malformed-json");
    let wrong_type = code(r#"{"unitCount": "two"}"#).unwrap_err();
    assert_eq!((wrong_type.code, wrong_type.errors[0].field.as_str()), ("validation-failed", "unitCount"));
    let broken_rule = code(r#"{"unitCount": 0}"#).unwrap_err();
    assert_eq!((broken_rule.code, broken_rule.errors[0].field.as_str()), ("validation-failed", "unitCount"));
}

#[test]
fn a_step_is_read_from_the_flat_fields_of_a_stream() {
    let fields = [("step", "ready"), ("at", "1763690000123"), ("user", "7"), ("ticket", "3")];
    let fields = fields.into_iter().chain([("interval", "0"), ("count", "20"), ("byHand", "true")]);
    // What somebody wrote stays text, also where it looks like a number.
    let fields = fields.chain([("by", "9"), ("why", "12")]);
    let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    let wanted = Step {
        step: StepKind::Ready,
        at: 1_763_690_000_123,
        user: Some(UserId(7)),
        ticket: Some(Ticket(3)),
        interval: Some(0),
        count: Some(20),
        by_hand: true,
        by: Some(UserId(9)),
        why: Some("12".into()),
        text: None,
    };
    assert_eq!(Step::of_entry(&fields).unwrap(), [wanted]);
    assert!(Step::of_entry(&HashMap::new()).is_err());
}

#[test]
fn those_who_came_together_are_as_many_steps() {
    let entry = |users: &str, kinds: &str| -> HashMap<String, String> {
        let fields = [("step", "came"), ("at", "5"), ("ticket", "11"), ("users", users), ("kinds", kinds)];
        fields.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    };
    let step = |kind, user, ticket| Step {
        user: Some(UserId(user)),
        ticket: Some(Ticket(ticket)),
        ..Step::new(kind, 5)
    };
    let wanted = [step(StepKind::Joined, 7, 11), step(StepKind::Moved, 3, 12), step(StepKind::Joined, 9, 13)];
    assert_eq!(Step::of_entry(&entry("7 3 9", "jmj")).unwrap(), wanted);
    assert!(Step::of_entry(&entry("7 x", "jj")).is_err());
    assert!(Step::of_entry(&entry("7", "x")).is_err());
}
