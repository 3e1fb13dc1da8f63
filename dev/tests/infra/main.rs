//! What surrounds the services fits what they are: compose, Prometheus, Alertmanager and Grafana speak only of
//! settings and metrics that stand in the code. No container engine is needed; `promtool` and `amtool` run where they
//! are installed.
//!
//! [`dashboard::expressions`] is for a test that asks a live Prometheus: include that file with `#[path]`.

mod compose;
mod dashboard;
mod declared;
mod docs;
mod promql;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file or folder of the repository.
fn repository(path: &str) -> PathBuf {
    let dev = Path::new(env!("CARGO_MANIFEST_DIR"));
    dev.parent().expect("the crate is a folder of the repository").join(path)
}

/// The text of a file of the repository.
fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A YAML file of the repository, anchors and merges resolved.
fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The entries of an object; none when it is something else.
fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The elements of a list; none when it is something else.
fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The text of a value that must be one.
fn string<'a>(value: &'a Value, what: &str) -> &'a str {
    value.as_str().unwrap_or_else(|| panic!("{what} is no text: {value}"))
}
