//! What the code declares: settings from `#[arg(env = …)]`, metrics from `metrics!`, problem codes beside their status.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::repository;

/// A setting of a service.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The environment variable.
    pub(crate) name: String,
    /// The service does not start without it.
    pub(crate) required: bool,
}

/// What one settings struct holds.
#[derive(Debug, Default)]
struct Group {
    own: Vec<(String, bool)>,
    flattened: Vec<String>,
}

/// The settings of the service in the folder `service`, with the shared groups that it takes in.
pub(crate) fn settings(service: &str) -> Vec<Setting> {
    let shared = groups(&sources(&repository("common/src/config.rs")));
    let own = groups(&sources(&repository(&format!("{service}/src"))));
    let mut found = BTreeMap::new();
    let mut open: Vec<&Group> = own.values().collect();
    while let Some(group) = open.pop() {
        found.extend(group.own.iter().cloned());
        open.extend(group.flattened.iter().filter_map(|name| shared.get(name)));
    }
    found.into_iter().map(|(name, required)| Setting { name, required }).collect()
}

/// The code of a file, or of all files below a folder, without comments and unit tests.
fn sources(path: &Path) -> String {
    let read = |file: &Path| {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        // Unit tests stand at the end of a file.
        let own = text.lines().take_while(|line| *line != "#[cfg(test)]");
        let code = own.filter(|line| !line.trim_start().starts_with("//"));
        code.collect::<Vec<_>>().join("\n")
    };
    if path.is_file() {
        return read(path);
    }
    let folder = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut inside: Vec<_> = folder.map(|entry| entry.expect("a folder's entry").path()).collect();
    inside.sort();
    inside.retain(|path| path.is_dir() || path.extension().is_some_and(|kind| kind == "rs"));
    inside.iter().map(|path| sources(path) + "\n").collect()
}

/// The structs of `code`, by name.
fn groups(code: &str) -> BTreeMap<String, Group> {
    let mut groups = BTreeMap::new();
    for part in code.split("struct ").skip(1) {
        let name: String = part.chars().take_while(|c| c.is_alphanumeric()).collect();
        let Some((_, body)) = part.split_once('{') else { continue };
        // A settings struct holds no inner braces but those of defaults, which no attribute follows.
        let body = body.split("\n}").next().unwrap_or(body);
        let mut group = Group::default();
        for attribute in body.split("#[").skip(1) {
            let Some((inside, rest)) = attribute.split_once(")]") else { continue };
            let kind = rest.split_once(':').map_or("", |(_, kind)| kind.trim_start());
            if inside.starts_with("command(flatten") {
                let path: String = kind.chars().take_while(|c| c.is_alphanumeric() || *c == ':').collect();
                group.flattened.extend(path.rsplit(':').next().map(str::to_owned));
            } else if let Some(env) = inside.split_once("env = \"").and_then(|(_, rest)| rest.split_once('"'))
            {
                // clap takes an empty list unless it is told otherwise.
                let is_list = kind.starts_with("Vec<") && !inside.contains("required = true");
                let optional = inside.contains("default_value") || kind.starts_with("Option<") || is_list;
                group.own.push((env.0.to_owned(), !optional));
            }
        }
        groups.insert(name, group);
    }
    groups
}

/// The problem codes in a crate: the text after a status, or of an unavailability.
pub(crate) fn problem_codes(folder: &str) -> BTreeSet<String> {
    let code = sources(&repository(&format!("{folder}/src")));
    let after_status = code.split("StatusCode::").skip(1).filter_map(|rest| {
        let (status, rest) = rest.split_once(',')?;
        let is_status = status.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        is_status.then_some(rest.trim_start())
    });
    let unavailable = code.split("navailable(").skip(1);
    let quoted = after_status.chain(unavailable).filter_map(|rest| rest.strip_prefix('"')?.split('"').next());
    let kebab = |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    quoted.filter(kebab).map(str::to_owned).collect()
}

/// The labels of every metric that a service can show.
pub(crate) fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics = BTreeMap::new();
    for service in ["common", "gateway", "queue-server", "product", "order", "user"] {
        let code = sources(&repository(&format!("{service}/src")));
        for declaration in code.split("metrics! {").skip(1) {
            let Some((body, rest)) = declaration.split_once("namespace: \"") else { continue };
            let namespace = rest.split('"').next().unwrap_or_default();
            let fields = body.split_once('{').map_or("", |(_, fields)| fields);
            declare(namespace, fields, &mut metrics);
        }
    }
    metrics
}

/// Reads `requests_total: IntCounterVec["route", "status"], …` up to the closing brace.
fn declare(namespace: &str, fields: &str, metrics: &mut BTreeMap<String, BTreeSet<String>>) {
    let mut inside = false;
    let ends = |c: char| {
        inside = (inside || c == '[') && c != ']';
        c == '}' || (c == ',' && !inside)
    };
    for (name, kind) in fields.split(ends).filter_map(|field| field.trim().split_once(':')) {
        let (kind, labels) = kind.split_once('[').unwrap_or((kind, ""));
        let labels: BTreeSet<String> = labels.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        let name = format!("{namespace}_{}", name.trim());
        if kind.trim().starts_with("Histogram") {
            let bucket = labels.iter().cloned().chain(["le".to_owned()]).collect();
            metrics.insert(format!("{name}_bucket"), bucket);
            metrics.insert(format!("{name}_sum"), labels.clone());
            metrics.insert(format!("{name}_count"), labels);
        } else {
            metrics.insert(name, labels);
        }
    }
}
