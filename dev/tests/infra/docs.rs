//! The manuals name every setting and every problem code that the code has.

use std::collections::BTreeSet;

use crate::{declared, text};

const SERVICES: [&str; 5] = ["user", "product", "order", "queue-server", "gateway"];

#[test]
fn every_setting_is_in_the_manual() {
    let manual = text("docs/OPERATIONS.md");
    for folder in SERVICES.into_iter().chain(["testkit"]) {
        for setting in declared::settings(folder) {
            let written = format!("`{}`", setting.name);
            assert!(manual.contains(&written), "docs/OPERATIONS.md does not name {written} of {folder}");
        }
    }
}

#[test]
fn every_problem_code_is_in_the_manual() {
    let manual = text("docs/API.md");
    let codes: BTreeSet<_> =
        SERVICES.into_iter().chain(["common"]).flat_map(declared::problem_codes).collect();
    assert!(codes.len() > 20, "too few codes were found: {codes:?}");
    for code in codes {
        assert!(manual.contains(&format!("`{code}`")), "docs/API.md does not explain {code}");
    }
}
