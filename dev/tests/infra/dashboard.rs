//! Grafana's dashboards as data. Self-contained, so that other tests can include it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// One query of one panel.
#[derive(Debug)]
pub(crate) struct Expression {
    /// The dashboard's uid and the panel's title, for messages.
    pub(crate) place: String,
    /// PromQL as Grafana sends it: all variables are replaced.
    pub(crate) query: String,
}

/// The dashboards below `folder`, by file name.
///
/// # Panics
/// When the folder cannot be read or a file is no JSON.
pub(crate) fn all(folder: &Path) -> Vec<(String, Value)> {
    let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for file in files {
        let path = file.expect("a folder's entry").path();
        if path.extension().is_none_or(|kind| kind != "json") {
            continue;
        }
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let json =
            serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        found.push((path.file_name().unwrap_or_default().display().to_string(), json));
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// The panels of a dashboard, also those inside collapsed rows, without the rows.
pub(crate) fn panels(dashboard: &Value) -> Vec<&Value> {
    let mut open: Vec<&Value> = dashboard["panels"].as_array().into_iter().flatten().collect();
    let mut panels = Vec::new();
    while let Some(panel) = open.pop() {
        open.extend(panel["panels"].as_array().into_iter().flatten());
        if panel["type"] != "row" {
            panels.push(panel);
        }
    }
    panels
}

/// Every query of a dashboard as Grafana would send it while all of its variables say "All". The intervals are those
/// of a scrape every `scrape_s` seconds: Grafana's `$__rate_interval` is four of them.
pub(crate) fn expressions(dashboard: &Value, scrape_s: u32) -> Vec<Expression> {
    let mut values = HashMap::from([
        ("__rate_interval".to_owned(), format!("{}s", scrape_s * 4)),
        ("__interval".to_owned(), format!("{scrape_s}s")),
        ("__range".to_owned(), "15m".to_owned()),
    ]);
    for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        values.insert(name, variable["allValue"].as_str().unwrap_or(".*").to_owned());
    }
    let uid = dashboard["uid"].as_str().unwrap_or_default();
    let mut expressions = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let Some(query) = target["expr"].as_str() else { continue };
            let place = format!("{uid}: {}", panel["title"].as_str().unwrap_or_default());
            expressions.push(Expression { place, query: replaced(query, &values) });
        }
    }
    expressions
}

/// Replaces `$name`, `${name}` and `${name:format}`; what is no variable stays, so that a check can find it.
fn replaced(query: &str, values: &HashMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = query;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, following) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some((inside, following)) => (inside.split(':').next().unwrap_or(inside), following),
            None => {
                after.split_at(after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len()))
            }
        };
        match values.get(name) {
            Some(value) => {
                out.push_str(value);
                rest = following;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out + rest
}

#[test]
fn variables_are_replaced_in_every_spelling() {
    let dashboard = serde_json::json!({
        "uid": "x",
        "templating": { "list": [{ "name": "product", "allValue": ".+" }] },
        "panels": [{ "type": "row", "panels": [{
            "title": "t",
            "targets": [{ "expr": "rate(a{p=~\"$product\", q=~\"${product:regex}\"}[$__rate_interval]) > $other" }],
        }] }],
    });
    let found = expressions(&dashboard, 5);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].place, "x: t");
    assert_eq!(found[0].query, "rate(a{p=~\".+\", q=~\".+\"}[20s]) > $other");
}
