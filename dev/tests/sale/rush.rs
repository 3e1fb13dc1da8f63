//! A crowd: the load generator plays a sale and judges it against databases, topics and the room's log.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use dev::stack::{Options, Stack};
use serde_json::Value;

use crate::shop::{Shop, shared};

/// Plays a sale with `shoppers` for `units` on a stack; returns the report, whatever it says.
pub(crate) fn start(stack: &Stack, shoppers: u32, units: u32, name: &str) -> (std::process::Child, PathBuf) {
    start_with(stack, (shoppers, units), name, &[])
}

/// As [`start`], with further arguments.
pub(crate) fn start_with(
    stack: &Stack,
    (shoppers, units): (u32, u32),
    name: &str,
    terms: &[&str],
) -> (std::process::Child, PathBuf) {
    let report = stack.logs().join(format!("{name}.json"));
    let log =
        std::fs::File::create(stack.logs().join(format!("{name}.log"))).expect("the log folder is there");
    let child = Command::new(stack.program("loadtest"))
        .args(["rush", "--stack"])
        .arg(stack.json_path())
        .args(["--shoppers", &shoppers.to_string(), "--units", &units.to_string(), "--json"])
        .arg(&report)
        .args(terms)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("loadtest was built");
    (child, report)
}

/// Waits for the end of a sale and asserts that it went right.
pub(crate) fn finish(
    stack: &Stack,
    (mut child, report): (std::process::Child, PathBuf),
    name: &str,
) -> Value {
    let verdict = child.wait().expect("loadtest runs");
    let log = std::fs::read_to_string(stack.logs().join(format!("{name}.log"))).unwrap_or_default();
    assert!(verdict.success(), "{log}\nstack: {}", stack.logs().display());
    serde_json::from_str(&std::fs::read_to_string(report).expect("a report")).expect("JSON")
}

#[test]
fn ten_times_more_shoppers_than_stock() {
    let stack = &shared().stack;
    let report = finish(stack, start(stack, 400, 40, "ten-times"), "ten-times");
    assert_eq!(report["unitsSold"], 40, "{report}");
    assert_eq!(report["oversold"], 0, "{report}");
}

#[test]
fn a_sale_on_two_replicas_of_everything() {
    let options = ["queue-server", "order", "product", "gateway"]
        .into_iter()
        .fold(Options::for_test("replicas").expect("the test servers answer"), |options, service| {
            options.replicas(service, 2)
        });
    let shop = Shop::open(Options { shoppers: 300, ..options });
    let report = finish(&shop.stack, start(&shop.stack, 300, 30, "replicas"), "replicas");
    assert_eq!(report["unitsSold"], 30, "{report}");
}
