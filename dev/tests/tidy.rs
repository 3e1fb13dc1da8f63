//! The house rules that no compiler checks. A file may be long when one of its first lines says
//! `tidy: long because …`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 400;
const BANNED_IN_NAMES: [&str; 4] = ["util", "helper", "misc", "manager"];
const SERVICES: [&str; 5] = ["gateway", "queue-server", "product", "order", "user"];
/// Not ours, or not written by hand.
const SKIPPED: [&str; 7] = ["target", ".git", ".dev", ".sqlx", "vendor", "node_modules", "Cargo.lock"];

struct Source {
    /// From the repository's root.
    name: String,
    extension: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is a folder of the repository")
        .to_owned()
}

/// All files that are text.
fn sources() -> Vec<Source> {
    let root = root();
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the repository is readable").flatten() {
            let path = entry.path();
            if SKIPPED.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let name = path.strip_prefix(&root).expect("inside the root").display().to_string();
                let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
                sources.push(Source { name, extension, text });
            }
        }
    }
    sources
}

/// The dependencies of each member by section of its Cargo.toml: `(section, name, rest of the line)`.
fn dependencies() -> BTreeMap<String, Vec<(String, String, String)>> {
    let manifests = sources().into_iter().filter_map(|source| {
        let member = source.name.strip_suffix("/Cargo.toml")?.to_owned();
        let mut section = String::new();
        let mut found = Vec::new();
        for line in source.text.lines() {
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']').to_owned();
            } else if section.ends_with("dependencies")
                && let Some((key, rest)) = line.split_once('=')
                && !line.starts_with('#')
            {
                let key = key.trim();
                let name = key.split('.').next().unwrap_or(key).to_owned();
                found.push((section.clone(), name, format!("{key} ={rest}")));
            }
        }
        Some((member, found))
    });
    manifests.collect()
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_file_is_long_without_a_reason() {
    let is_test = |name: &str| name.contains("/tests/") || name.ends_with("/tests.rs");
    let faults: Vec<_> = sources()
        .iter()
        .filter(|source| ["rs", "lua", "js", "html", "css", "sql", "sh"].contains(&source.extension.as_str()))
        .filter(|source| !is_test(&source.name))
        .filter(|source| !source.text.lines().take(5).any(|line| line.contains("tidy: long because ")))
        .filter_map(|source| {
            // Unit tests stand at the end of a file.
            let count = source.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
            (count > LINES_MAX).then(|| format!("{}: {count} lines, at most {LINES_MAX}", source.name))
        })
        .collect();
    assert_none(&faults);
}

#[test]
fn no_file_name_is_a_drawer_of_everything() {
    let faults: Vec<_> = sources()
        .iter()
        .filter(|source| {
            // Alertmanager is a product's own name.
            let name = source.name.rsplit('/').next().unwrap_or_default().replace("alertmanager", "");
            BANNED_IN_NAMES.iter().any(|word| name.contains(word))
        })
        .map(|source| format!("{}: name it after what it does", source.name))
        .collect();
    assert_none(&faults);
}

#[test]
fn crates_import_only_what_they_may() {
    let dependencies = dependencies();
    let members: Vec<&String> = dependencies.keys().collect();
    let mut faults = Vec::new();
    for (member, list) in &dependencies {
        let allowed: &[&str] = match member.as_str() {
            "common" => &[],
            "dev" => &["testkit", "common"],
            // A benchmark fills rooms by the service's own steps, and measures its line.
            "loadtest" => &["common", "queue-server"],
            _ => &["common"],
        };
        for (section, name, _) in list.iter().filter(|(_, name, _)| members.contains(&name)) {
            // The model of the order pipeline takes steps by the rules of both services.
            let for_tests = section == "dev-dependencies"
                && match member.as_str() {
                    "dev" => ["order", "product"].contains(&name.as_str()),
                    service => name == "testkit" && SERVICES.contains(&service),
                };
            if !allowed.contains(&name.as_str()) && !for_tests {
                faults.push(format!("{member} must not depend on {name} ({section})"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn dependencies_are_declared_in_the_root_alone() {
    let mut faults = Vec::new();
    for (member, list) in dependencies() {
        for (_, name, line) in list {
            let inherited = line.contains(".workspace = true") || line.contains("workspace = true");
            if !inherited || line.contains("version") {
                faults.push(format!("{member}/Cargo.toml: {name} does not say `workspace = true`"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_lua_file_has_its_header() {
    let faults: Vec<_> = sources()
        .iter()
        .filter(|source| source.extension == "lua")
        .filter_map(|source| {
            let is_comment = |line: &&str| line.starts_with("--");
            let header: String = source.text.lines().take_while(is_comment).collect();
            let body: String = source.text.lines().skip_while(is_comment).collect();
            let unexplained: Vec<_> = ["KEYS", "ARGV"]
                .into_iter()
                .filter(|word| body.contains(&format!("{word}[")) && !header.contains(word))
                .collect();
            match (header.is_empty(), unexplained.is_empty()) {
                (true, _) => Some(format!("{}: no header comment", source.name)),
                (_, false) => Some(format!("{}: the header does not say {unexplained:?}", source.name)),
                _ => None,
            }
        })
        .collect();
    assert_none(&faults);
}

#[test]
fn every_todo_names_its_issue() {
    // Split, so that this file does not find itself.
    let word = concat!("TO", "DO");
    let named = |line: &str| {
        let rest = line.split_once(word).map_or("", |(_, rest)| rest);
        let rest = rest.trim_start_matches(['(', ' ']);
        rest.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let is_about_it = |name: &str| name.ends_with("CONTRIBUTING.md");
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !is_about_it(&source.name)) {
        for (number, line) in source.text.lines().enumerate() {
            if line.contains(word) && !named(line) {
                faults.push(format!("{}:{}: {}", source.name, number + 1, line.trim()));
            }
        }
    }
    assert_none(&faults);
}
