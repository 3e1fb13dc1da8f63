//! `infra/compose/compose.yaml`: the Compose Specification's keys, and the services' real settings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{declared, elements, entries, repository, string, text, yaml};

const FILE: &str = "infra/compose/compose.yaml";
const SECRETS: &str = "infra/compose/make-secrets.sh";

/// Services of this repository, and the folder whose settings they read.
const OWN: [(&str, &str); 6] = [
    ("user", "user"),
    ("product", "product"),
    ("order", "order"),
    ("queue-server", "queue-server"),
    ("gateway", "gateway"),
    ("payment-sandbox", "testkit"),
];
const OTHERS: [&str; 9] = [
    "redis",
    "postgres",
    "kafka",
    "prometheus",
    "alertmanager",
    "grafana",
    "redis-exporter",
    "postgres-exporter",
    "kafka-exporter",
];

/// The keys that the Compose Specification allows, as far as they make sense here.
const TOP_KEYS: [&str; 6] = ["name", "services", "networks", "volumes", "configs", "secrets"];
const SERVICE_KEYS: [&str; 24] = [
    "build",
    "cap_add",
    "cap_drop",
    "command",
    "configs",
    "depends_on",
    "deploy",
    "entrypoint",
    "environment",
    "healthcheck",
    "image",
    "init",
    "network_mode",
    "networks",
    "ports",
    "profiles",
    "read_only",
    "restart",
    "secrets",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "user",
    "volumes",
];
const HEALTHCHECK_KEYS: [&str; 6] =
    ["test", "interval", "timeout", "retries", "start_period", "start_interval"];
const BUILD_KEYS: [&str; 4] = ["context", "dockerfile", "target", "args"];
const CONDITIONS: [&str; 3] = ["service_started", "service_healthy", "service_completed_successfully"];

fn assert_keys(value: &Value, allowed: &[&str], place: &str) {
    for (key, _) in entries(value) {
        assert!(allowed.contains(&key) || key.starts_with("x-"), "{place}: compose knows no key `{key}`");
    }
}

/// The environment of a service; all values are texts or numbers.
fn environment(service: &Value) -> BTreeMap<&str, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    entries(&service["environment"]).map(|(name, value)| (name, text(value))).collect()
}

/// The settings that the init step writes for a service.
fn written(service: &str) -> BTreeSet<String> {
    let script = text(SECRETS);
    let calls = script.lines().filter_map(|line| line.strip_prefix("setting ")?.strip_prefix(service));
    calls.filter_map(|rest| rest.strip_prefix(' ')?.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn compose_has_only_keys_of_the_specification() {
    let compose = yaml(FILE);
    assert_keys(&compose, &TOP_KEYS, FILE);
    for (name, service) in entries(&compose["services"]) {
        assert_keys(service, &SERVICE_KEYS, name);
        assert_keys(&service["healthcheck"], &HEALTHCHECK_KEYS, name);
        assert_keys(&service["build"], &BUILD_KEYS, name);
        assert!(service["image"].is_string(), "{name} has no image");
        for (other, dependency) in entries(&service["depends_on"]) {
            let condition = string(&dependency["condition"], other);
            assert!(CONDITIONS.contains(&condition), "{name}: {condition}");
            let target = &compose["services"][other];
            assert!(target.is_object(), "{name} depends on {other}, which is no service");
            if condition == "service_healthy" {
                assert!(
                    target["healthcheck"].is_object(),
                    "{name} waits for the health of {other}, which has no check"
                );
            }
        }
    }
}

#[test]
fn compose_has_every_server_and_service() {
    let compose = yaml(FILE);
    let services: BTreeSet<&str> = entries(&compose["services"]).map(|(name, _)| name).collect();
    for name in OWN.iter().map(|(name, _)| *name).chain(OTHERS) {
        assert!(services.contains(name), "{name} is missing");
    }
    let publishing = entries(&compose["services"]).filter(|(_, service)| !service["ports"].is_null());
    assert_eq!(
        publishing.map(|(name, _)| name).collect::<BTreeSet<_>>(),
        BTreeSet::from(["gateway", "grafana"])
    );
}

#[test]
fn services_get_settings_that_they_know_and_all_that_they_need() {
    let compose = yaml(FILE);
    for (name, folder) in OWN {
        let settings = declared::settings(folder);
        assert!(settings.len() >= 2, "no settings were found in {folder}/src");
        let known: BTreeSet<&str> = settings.iter().map(|setting| setting.name.as_str()).collect();
        let service = &compose["services"][name];
        let (given, written) = (environment(service), written(name));
        for setting in given.keys().copied().chain(written.iter().map(String::as_str)) {
            assert!(known.contains(setting), "{name} knows no setting {setting}; it knows {known:?}");
        }
        for setting in settings.iter().filter(|setting| setting.required) {
            let set = given.contains_key(setting.name.as_str()) || written.contains(&setting.name);
            assert!(set, "{name} needs {}", setting.name);
        }
        assert_eq!(
            elements(&service["command"]).next().and_then(Value::as_str),
            Some(name),
            "the program of {name}"
        );
    }
}

#[test]
fn key_files_are_made_before_they_are_read() {
    let compose = yaml(FILE);
    let script = text(SECRETS);
    for (name, _) in OWN {
        let service = &compose["services"][name];
        for (setting, path) in environment(service) {
            let Some(file) = path.strip_prefix("/secrets/") else { continue };
            let signing = script.contains(&format!("signing_key {name} {file}\n"));
            assert!(signing || file == "internal.key", "{name}: nobody makes {setting}={path}");
        }
        let own = format!("secrets-{name}:/secrets:ro");
        assert!(elements(&service["volumes"]).any(|volume| *volume == *own), "{name} does not mount {own}");
        let made = &service["depends_on"]["make-secrets"]["condition"];
        assert_eq!(made, "service_completed_successfully", "{name} may start before its secrets are made");
    }
}

#[test]
fn volumes_networks_and_files_exist() {
    let compose = yaml(FILE);
    let folder = repository("infra/compose");
    for (name, service) in entries(&compose["services"]) {
        for volume in elements(&service["volumes"]) {
            let volume = string(volume, name);
            let source = volume.split(':').next().unwrap_or_default();
            if source.starts_with('.') {
                assert!(folder.join(source).exists(), "{name} mounts {source}, which does not exist");
            } else {
                assert!(
                    compose["volumes"].get(source).is_some(),
                    "{name} mounts the undeclared volume {source}"
                );
            }
        }
        for network in elements(&service["networks"]) {
            let network = string(network, name);
            assert!(
                compose["networks"].get(network).is_some(),
                "{name} is in the undeclared network {network}"
            );
        }
    }
    for needed in ["Dockerfile", "entrypoint.sh", "make-secrets.sh", "slack-webhook-url.example"] {
        assert!(folder.join(needed).exists(), "{needed} is missing");
    }
}

#[test]
fn addresses_lead_to_ports_that_somebody_listens_on() {
    let compose = yaml(FILE);
    let mut ports: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, _) in OWN {
        let environment = environment(&compose["services"][name]);
        let listens = environment.iter().filter(|(setting, _)| setting.ends_with("_LISTEN"));
        let port = |address: &String| address.rsplit(':').next().unwrap_or_default().to_owned();
        ports.insert(name, listens.map(|(_, address)| port(address)).collect());
    }
    let check = |address: &str, place: &str| {
        let (host, port) = address.split_once(':').unwrap_or((address, ""));
        if let Some(listens) = ports.get(host) {
            assert!(listens.contains(port), "{place}: {host} does not listen on {port} but on {listens:?}");
        }
    };
    for (name, service) in entries(&compose["services"]) {
        for (setting, value) in environment(service) {
            for address in value.split("http://").skip(1) {
                check(address.split(['/', ',']).next().unwrap_or_default(), &format!("{name} {setting}"));
            }
        }
        let test =
            elements(&service["healthcheck"]["test"]).last().and_then(Value::as_str).unwrap_or_default();
        if let (Some(address), true) = (test.strip_prefix("http://127.0.0.1:"), ports.contains_key(name)) {
            check(&format!("{name}:{}", address.split('/').next().unwrap_or_default()), "health check");
        }
    }
    for job in elements(&yaml("infra/compose/prometheus.yml")["scrape_configs"]) {
        for target in elements(&job["static_configs"]).flat_map(|config| elements(&config["targets"])) {
            let target = string(target, "a target");
            check(target, "prometheus.yml");
            let host = target.split(':').next().unwrap_or_default();
            assert!(
                host == "localhost" || compose["services"][host].is_object(),
                "no service {host} to watch"
            );
        }
    }
}
