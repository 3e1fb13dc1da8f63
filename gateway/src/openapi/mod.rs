//! The OpenAPI 3.1 document of everything that is served here, made when the gateway starts: paths, rules and limits from
//! the route table, bodies from the types that cross the wire (`bodies`), words and problem codes from the manual
//! (`manual`). So none of them can say something else than the others.

mod bodies;
mod manual;

use std::collections::BTreeMap;

use http::Method;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::routes::{Route, Rule, TABLE, To};
use common::wire::problem::Problem;

/// The document as JSON.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12();
    let mut schemas = settings.with(|s| s.definitions_path = "/components/schemas".into()).into_generator();
    let problem = schemas.subschema_for::<Problem>();
    let manual = manual::read();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in TABLE.iter().filter(|route| is_described(route)) {
        let path = paths.entry(route.pattern).or_default();
        path.insert(route.method.as_str().to_lowercase(), operation(route, &manual, &mut schemas));
    }
    let codes: Vec<Value> = manual.problems.iter().map(manual::Problem::json).collect();
    let mut types = schemas.take_definitions(true);
    types["Problem"]["properties"]["code"]["enum"] =
        manual.problems.iter().map(|problem| Value::from(problem.code)).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Astraphe", "version": env!("CARGO_PKG_VERSION"),
            "description": "A flash-sale platform: waiting rooms, orders, payment.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": types,
            "responses": {"Problem": {
                "description": "What went wrong; `code` is for programs.",
                "content": {"application/problem+json": {"schema": problem}},
            }},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "identity"},
                "pass": {"type": "apiKey", "in": "header", "name": "X-Access-Token"},
            },
        },
        "x-problem-codes": codes,
    })
}

/// Static pages are no part of the API.
fn is_described(route: &Route) -> bool {
    !matches!(route.to, To::Assets | To::File(_))
}

fn operation(route: &Route, manual: &manual::Manual, schemas: &mut SchemaGenerator) -> Value {
    let words = manual.of(route);
    let mut answers = Map::new();
    let described = words.map_or("", |words| words.what);
    for (status, body) in bodies::answers(route, schemas) {
        let mut answer = json!({"description": if described.is_empty() { "done" } else { described }});
        if let Some(body) = body {
            answer["content"] = body;
        }
        answers.insert(status.into(), answer);
    }
    answers.insert("default".into(), json!({"$ref": "#/components/responses/Problem"}));
    let mut operation = json!({
        "operationId": name(route),
        "tags": [route.to.service().unwrap_or("gateway")],
        "summary": words.map_or("", |words| words.who),
        "description": described,
        "parameters": parameters(route),
        "security": security(route.rule),
        "responses": answers,
        "x-body-max-bytes": route.body_max,
    });
    if let Rule::Roles(roles) = route.rule {
        operation["x-roles"] = roles.iter().map(|role| json!(role)).collect();
    }
    if let Some(deadline) = route.deadline {
        operation["x-deadline-s"] = deadline.as_secs().into();
    }
    if let Some(body) = bodies::request(route, schemas) {
        operation["requestBody"] = body;
    }
    operation
}

/// `GET /api/orders/{id}/live` → `getOrdersIdLive`.
fn name(route: &Route) -> String {
    let path = route.pattern.trim_start_matches("/api");
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name = route.method.as_str().to_lowercase();
    for word in words {
        let (first, rest) = word.split_at(1);
        name += &first.to_uppercase();
        name += rest;
    }
    name
}

fn parameters(route: &Route) -> Value {
    let names = route.pattern.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = names
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    if takes_key(route) {
        all.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": route.to == To::Order,
            "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        }));
    }
    all.into()
}

/// What costs money or stock is done once, however often it is sent; a join is seen to be the same.
fn takes_key(route: &Route) -> bool {
    let is_order = route.to == To::Order && !matches!(route.rule, Rule::Anyone | Rule::Roles(_));
    route.method == Method::POST && (is_order || route.pattern == "/api/queue/{productId}")
}

/// Alternatives; all of one are needed.
fn security(rule: Rule) -> Value {
    match rule {
        Rule::Anyone => json!([]),
        Rule::Visitor => json!([{}, {"bearer": []}, {"cookie": []}]),
        Rule::Login | Rule::Roles(_) => json!([{"bearer": []}, {"cookie": []}]),
        Rule::Pass | Rule::AnyPass => json!([{"bearer": [], "pass": []}, {"cookie": [], "pass": []}]),
    }
}

#[cfg(test)]
mod tests {
    use common::wire::token::Role;

    use super::*;

    #[test]
    fn every_route_is_described_in_the_manuals_words() {
        let (document, manual) = (document(), manual::read());
        for route in TABLE.iter().filter(|route| is_described(route)) {
            let name = format!("{} {}", route.method, route.pattern);
            let operation = &document["paths"][route.pattern][route.method.as_str().to_lowercase()];
            assert_eq!(operation["security"] == json!([]), route.rule == Rule::Anyone, "{name}");
            assert_eq!(operation["x-roles"].is_array(), matches!(route.rule, Rule::Roles(_)), "{name}");
            let is_written = operation["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(is_written, "docs/API.md has no row for {name}");
        }
        for (method, path) in manual.routes.keys() {
            let is_served =
                TABLE.iter().any(|route| route.pattern == path && route.method.as_str() == *method);
            assert!(is_served, "docs/API.md has a row for {method} {path}, which is not served");
        }
    }

    /// What the manual calls those who may use a route of that rule.
    fn called(route: &Route) -> &'static [&'static str] {
        match route.rule {
            Rule::Anyone | Rule::Visitor => {
                &["anyone", "holder of a refresh token; anyone", "the provider (`toss`)", ""]
            }
            Rule::Login => &["logged in", "self", "owner", "owner; ADMIN", "shopper whose turn it is"],
            Rule::Pass => &["access token for it; owner, ADMIN"],
            Rule::AnyPass => &["access token for every product in it"],
            Rule::Roles([Role::Admin]) => &["ADMIN"],
            Rule::Roles([Role::Manager]) => &["ADMIN, MANAGER"],
            Rule::Roles([Role::Seller]) => &[
                "SELLER",
                "SELLER, ADMIN",
                "SELLER; its owner, ADMIN",
                "owner, ADMIN",
                "owner of the company, ADMIN",
            ],
            Rule::Roles([Role::Seller, Role::Manager]) => &["owner, ADMIN, MANAGER"],
            Rule::Roles(_) => &[],
        }
    }

    #[test]
    fn the_manual_says_the_same_of_who_may_use_a_route() {
        let manual = manual::read();
        for route in TABLE.iter().filter(|route| is_described(route)) {
            let who = manual.of(route).map_or("", |words| words.who);
            // Of refunds it also says how much.
            let who = who.replace(" (all that is left), ADMIN (also a part)", "; ADMIN");
            assert!(
                called(route).contains(&&*who),
                "{} {}: {:?}, and to the manual {who:?}",
                route.method,
                route.pattern,
                route.rule
            );
        }
    }

    #[test]
    fn every_problem_code_of_the_manual_is_listed() {
        let document = document();
        let codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].clone();
        let codes: Vec<&str> = codes.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        for code in
            ["bad-path", "bad-header", "body-too-large", "head-unreadable", "sale-closed", "overloaded"]
        {
            assert!(codes.contains(&code), "{code} of {codes:?}");
        }
        assert_eq!(document["x-problem-codes"].as_array().unwrap().len(), codes.len());
        assert!(codes.len() > 60, "{}", codes.len());
    }

    #[test]
    fn names_are_unique_and_references_lead_somewhere() {
        let document = document();
        let mut names: Vec<&str> = Vec::new();
        for path in document["paths"].as_object().unwrap().values() {
            names.extend(path.as_object().unwrap().values().map(|one| one["operationId"].as_str().unwrap()));
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        let text = document.to_string();
        let mut references: Vec<&str> = text.split("\"$ref\":\"#").skip(1).collect();
        references.iter_mut().for_each(|rest| *rest = rest.split('"').next().unwrap());
        assert!(references.len() > 50, "{}", references.len());
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
