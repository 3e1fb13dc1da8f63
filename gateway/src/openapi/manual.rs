//! What the manual says of routes and problems, read from its tables.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::routes::{Route, TABLE};

const MANUAL: &str = include_str!("../../../docs/API.md");

/// The tables.
pub(super) struct Manual {
    /// By method and path.
    pub(super) routes: BTreeMap<(&'static str, String), Words>,
    pub(super) problems: Vec<Problem>,
}

/// What is said of a route.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) who: &'static str,
    pub(super) what: &'static str,
}

/// A code, its status and when it is told.
pub(super) struct Problem {
    pub(super) code: &'static str,
    status: &'static str,
    when: &'static str,
}

impl Problem {
    pub(super) fn json(&self) -> Value {
        json!({"code": self.code, "status": self.status.parse::<u16>().ok(), "when": self.when})
    }
}

impl Manual {
    pub(super) fn of(&self, route: &Route) -> Option<Words> {
        self.routes.get(&(route.method.as_str(), route.pattern.to_owned())).copied()
    }
}

pub(super) fn read() -> Manual {
    let mut manual = Manual { routes: BTreeMap::new(), problems: Vec::new() };
    for line in MANUAL.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        match *cells.as_slice() {
            [codes, status, when] if codes.starts_with('`') && status.len() == 3 => {
                let codes = codes.split('`').skip(1).step_by(2);
                manual.problems.extend(codes.map(|code| Problem { code, status, when }));
            }
            [routes, who, what] => manual.row(routes, Words { who, what }),
            [routes, what] => manual.row(routes, Words { who: "", what }),
            _ => {}
        }
    }
    manual
}

impl Manual {
    /// "PUT DELETE `/a/{id}`, `/b`; POST `/c`": methods count for all paths up to the next ones; `/b` stands beside the path
    /// before it where it is none of its own.
    fn row(&mut self, routes: &'static str, words: Words) {
        let (mut methods, mut is_new, mut beside) = (Vec::new(), true, "");
        for (number, piece) in routes.split('`').enumerate() {
            if number % 2 == 0 {
                for word in piece.split([' ', ',', ';']).filter(|word| is_method(word)) {
                    if std::mem::take(&mut is_new) {
                        methods.clear();
                    }
                    methods.push(word);
                }
                continue;
            }
            is_new = true;
            let path = piece.split('?').next().unwrap_or_default();
            if !path.starts_with('/') || methods.is_empty() {
                continue;
            }
            let is_known = |path: &str| TABLE.iter().any(|route| route.pattern == path);
            let whole = format!("{}{path}", beside.rsplit_once('/').map_or("", |(folder, _)| folder));
            let whole = if !is_known(path) && is_known(&whole) { whole } else { path.to_owned() };
            // What stands beside a path in words, or in another table's short form, is no route.
            if beside.is_empty() && !is_known(path) && !path.starts_with("/api/") {
                continue;
            }
            if is_known(path) {
                beside = path;
            }
            for method in &methods {
                self.routes.entry((method, whole.clone())).or_insert(words);
            }
        }
    }
}

fn is_method(word: &str) -> bool {
    matches!(word, "GET" | "POST" | "PUT" | "PATCH" | "DELETE")
}
