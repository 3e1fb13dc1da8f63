//! Dashboards, alerts and the files around them speak of metrics that exist, and keep the house's rules.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::dashboard::{self, Expression};
use crate::{declared, elements, entries, promql, repository, string, text, yaml};

/// Seconds between two scrapes, as in prometheus.yml.
const SCRAPE_S: u32 = 5;
/// Metrics of Prometheus itself and of the exporters.
const FOREIGN: [&str; 4] = ["up", "redis_up", "pg_up", "kafka_brokers"];
/// What the process collector of the metrics library shows.
const PROCESS: [&str; 7] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];
/// Labels that Prometheus gives to every target.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

fn dashboards() -> Vec<(String, Value)> {
    let found = dashboard::all(&repository("grafana"));
    assert!(found.iter().any(|(name, _)| name == "launch-night.json"), "Launch night is missing");
    found
}

fn alerts() -> Vec<Value> {
    let groups = yaml("infra/compose/alerts.yml")["groups"].take();
    elements(&groups).flat_map(|group| elements(&group["rules"])).cloned().collect()
}

/// Every expression of dashboards and alerts.
fn expressions() -> Vec<Expression> {
    let mut all: Vec<_> =
        dashboards().iter().flat_map(|(_, json)| dashboard::expressions(json, SCRAPE_S)).collect();
    for alert in alerts() {
        let place = string(&alert["alert"], "alerts.yml").to_owned();
        all.push(Expression { place, query: string(&alert["expr"], "alerts.yml").to_owned() });
    }
    all
}

#[test]
fn every_query_names_declared_metrics_and_their_labels() {
    let metrics = declared::metrics();
    assert!(metrics.len() > 20, "too few metrics were found: {metrics:?}");
    for Expression { place, query } in expressions() {
        let names = promql::names(&query);
        assert!(!names.metrics.is_empty(), "{place}: no metric in {query}");
        let mut known: BTreeSet<&str> = TARGET_LABELS.into();
        for (metric, used) in &names.metrics {
            if FOREIGN.contains(&metric.as_str()) || PROCESS.contains(&metric.as_str()) {
                continue;
            }
            let labels = metrics.get(metric).unwrap_or_else(|| panic!("{place}: nobody declares {metric}"));
            known.extend(labels.iter().map(String::as_str));
            for label in used {
                let given = labels.contains(label) || TARGET_LABELS.contains(&label.as_str());
                assert!(given, "{place}: {metric} has no label {label}, only {labels:?}");
            }
        }
        for label in &names.grouping {
            assert!(known.contains(label.as_str()), "{place}: no metric in the query has the label {label}");
        }
    }
}

#[test]
fn dashboards_keep_the_rules() {
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        assert!(uids.insert(string(&dashboard["uid"], &file).to_owned()), "{file}: its uid is taken");
        assert!(!string(&dashboard["title"], &file).is_empty(), "{file}: no title");
        let variables: Vec<_> = elements(&dashboard["templating"]["list"]).collect();
        let is_source =
            |variable: &&Value| variable["name"] == "datasource" && variable["type"] == "datasource";
        assert!(variables.iter().any(is_source), "{file}: no variable `datasource`");
        let mut ids = BTreeSet::new();
        for panel in elements(&dashboard["panels"]).chain(dashboard::panels(&dashboard)) {
            ids.insert(panel["id"].as_u64().unwrap_or_else(|| panic!("{file}: a panel without id")));
        }
        assert_eq!(ids.len(), elements(&dashboard["panels"]).count(), "{file}: two panels share an id");
        for panel in dashboard::panels(&dashboard) {
            let title = string(&panel["title"], &file);
            for what in ["title", "description"] {
                assert!(
                    panel[what].as_str().is_some_and(|text| !text.is_empty()),
                    "{file}: {title}: no {what}"
                );
            }
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{file}: {title}: no unit");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{file}: {title}");
            for target in elements(&panel["targets"]) {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{file}: {title}");
                assert!(!string(&target["legendFormat"], title).is_empty(), "{file}: {title}: no legend");
                rates(string(&target["expr"], title), &format!("{file}: {title}"));
            }
        }
    }
}

/// A counter is shown by its rate, over an interval that fits every zoom.
fn rates(query: &str, place: &str) {
    for (at, _) in query.match_indices('[') {
        assert!(query[at..].starts_with("[$__rate_interval]"), "{place}: a fixed interval in {query}");
    }
    let names = promql::names(&query.replace("$__rate_interval", "20s"));
    let counts =
        |name: &str| name.ends_with("_total") || name.ends_with("_bucket") || name.ends_with("_count");
    for (metric, _) in names.metrics.iter().filter(|(metric, _)| counts(metric)) {
        let wrapped = ["rate(", "increase("].iter().any(|call| query.contains(&format!("{call}{metric}")));
        assert!(wrapped, "{place}: {metric} is a counter and needs rate()");
    }
}

#[test]
fn every_variable_of_a_dashboard_is_known() {
    for (file, json) in dashboards() {
        for Expression { place, query } in dashboard::expressions(&json, SCRAPE_S) {
            assert!(!query.contains('$'), "{file}: {place}: an unknown variable in {query}");
        }
        for variable in elements(&json["templating"]["list"]).filter(|variable| variable["type"] == "query") {
            let definition = string(&variable["definition"], &file);
            let metric = definition.trim_start_matches("label_values(").split([',', '{']).next();
            let metric = metric.expect("a split has a first part");
            let known = declared::metrics().contains_key(metric) || PROCESS.contains(&metric);
            assert!(known, "{file}: {definition} asks for a metric that nobody declares");
        }
    }
}

#[test]
fn every_alert_is_explained_and_tested() {
    let tests = yaml("infra/compose/alerts_test.yml");
    let cases: Vec<&Value> =
        elements(&tests["tests"]).flat_map(|test| elements(&test["alert_rule_test"])).collect();
    let manual = text("docs/OPERATIONS.md");
    for alert in alerts() {
        let name = string(&alert["alert"], "alerts.yml");
        let severity = string(&alert["labels"]["severity"], name);
        assert!(["critical", "warning"].contains(&severity), "{name}: severity {severity}");
        for what in ["summary", "description"] {
            assert!(alert["annotations"][what].is_string(), "{name}: no {what}");
        }
        assert!(
            manual.contains(&format!("`{name}`")),
            "docs/OPERATIONS.md does not say what to do about {name}"
        );
        let of_this = |case: &&&Value| case["alertname"] == name;
        let fires = |case: &&Value| elements(&case["exp_alerts"]).next().is_some();
        assert!(cases.iter().filter(of_this).any(&fires), "{name}: no case in which it fires");
        assert!(
            cases.iter().filter(of_this).any(|case| !fires(case)),
            "{name}: no case in which it is silent"
        );
    }
}

#[test]
fn grafana_finds_its_data_and_dashboards() {
    let sources = yaml("infra/compose/grafana/provisioning/datasources/prometheus.yaml");
    let source = &sources["datasources"][0];
    assert_eq!(source["type"], "prometheus");
    assert_eq!(source["jsonData"]["timeInterval"], format!("{SCRAPE_S}s"));
    let prometheus = yaml("infra/compose/prometheus.yml");
    assert_eq!(prometheus["global"]["scrape_interval"], format!("{SCRAPE_S}s"));
    let compose = yaml("infra/compose/compose.yaml");
    let host = string(&source["url"], "the source's address").trim_start_matches("http://");
    assert!(
        compose["services"][host.split(':').next().unwrap_or_default()].is_object(),
        "no service at {host}"
    );
    let providers = yaml("infra/compose/grafana/provisioning/dashboards/astraphe.yaml");
    let path = string(&providers["providers"][0]["options"]["path"], "the provider's path");
    let mount = format!("../../grafana:{path}:ro");
    assert!(elements(&compose["services"]["grafana"]["volumes"]).any(|volume| *volume == *mount), "{mount}");
}

#[test]
fn slack_hears_of_every_alert_and_of_its_end() {
    let alertmanager = yaml("infra/compose/alertmanager.yml");
    assert_eq!(alertmanager["route"]["receiver"], "slack");
    let slack = &alertmanager["receivers"][0]["slack_configs"][0];
    assert_eq!(slack["send_resolved"], true);
    assert!(slack["api_url"].is_null(), "the webhook's address is a secret: api_url_file");
    let compose = yaml("infra/compose/compose.yaml");
    let file = string(&slack["api_url_file"], "api_url_file").trim_start_matches("/run/secrets/");
    assert!(compose["secrets"].get(file).is_some(), "compose has no secret {file}");
    let names: BTreeSet<String> =
        alerts().iter().map(|alert| string(&alert["alert"], "alerts.yml").to_owned()).collect();
    for rule in elements(&alertmanager["inhibit_rules"]) {
        for (_, matchers) in entries(rule) {
            for matcher in
                elements(matchers).filter_map(|matcher| matcher.as_str()?.strip_prefix("alertname="))
            {
                for name in matcher.trim_matches(['~', '"']).split('|') {
                    assert!(names.contains(name), "alertmanager.yml speaks of {name}, which is no alert");
                }
            }
        }
    }
}

/// Runs a tool of Prometheus in infra/compose. Where it is not installed, that is said, and nothing is checked.
fn tool(program: &str, arguments: &[&str]) {
    match Command::new(program).args(arguments).current_dir(repository("infra/compose")).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: {program} {} ({program} is not installed)", arguments.join(" "));
        }
        Err(error) => panic!("{program}: {error}"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {}\n{said}", arguments.join(" "));
        }
    }
}

#[test]
fn prometheus_accepts_its_files_and_the_alerts_pass_their_tests() {
    tool("promtool", &["check", "config", "prometheus.yml"]);
    tool("promtool", &["check", "rules", "alerts.yml"]);
    tool("promtool", &["test", "rules", "alerts_test.yml"]);
}

#[test]
fn alertmanager_accepts_its_file() {
    tool("amtool", &["check-config", "alertmanager.yml"]);
}

#[test]
fn every_query_of_a_dashboard_is_promql() {
    // promtool reads expressions only as rules.
    let record = |(number, expression): (usize, Expression)| json!({ "record": format!("query_{number}"), "expr": expression.query });
    let rules: Vec<_> = expressions().into_iter().enumerate().map(record).collect();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard-queries.yml");
    // JSON is YAML.
    let json = json!({ "groups": [{ "name": "dashboards", "rules": rules }] });
    fs::write(&file, json.to_string()).unwrap();
    tool("promtool", &["check", "rules", file.to_str().unwrap()]);
}
