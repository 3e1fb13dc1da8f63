//! Who may use which route: every row of the table, asked by everybody there is.

use common::wire::token::Role;
use gateway::routes::{Rule, TABLE};
use testkit::client::Http;

use crate::gate::Gate;

/// What somebody is answered: 200 comes from the service behind.
fn wanted(rule: Rule, role: Option<Role>, has_pass: bool) -> u16 {
    match (rule, role) {
        (Rule::Anyone | Rule::Visitor, _) => 200,
        (_, None) => 401,
        (Rule::Login, _) | (Rule::Roles(_), Some(Role::Admin)) => 200,
        (Rule::Roles(roles), Some(role)) => {
            if roles.contains(&role) {
                200
            } else {
                403
            }
        }
        (Rule::Pass, Some(Role::Seller | Role::Admin)) => 200,
        (Rule::Pass | Rule::AnyPass, _) => {
            if has_pass {
                200
            } else {
                403
            }
        }
    }
}

#[tokio::test]
async fn every_route_answers_everybody_by_its_rule() {
    let gate = Gate::start().await.knowing().await;
    let mut asked = 0;
    let roles = [None, Some(Role::Customer), Some(Role::Seller), Some(Role::Manager), Some(Role::Admin)];
    for role in roles {
        // A login each, so that no account asks more often than it may.
        let logins: Vec<(bool, Http)> = [false, true]
            .into_iter()
            .map(|has_pass| {
                let Some(role) = role else { return (has_pass, gate.http.clone()) };
                let mut claims = gate.claims(role);
                claims.sub.0 = 100 + role as i64 * 2 + i64::from(has_pass);
                let http = gate.http.login(&gate.token(&claims));
                (has_pass, if has_pass { http.pass(&gate.pass(&claims, 7)) } else { http })
            })
            .collect();
        for route in TABLE.iter().filter(|route| !route.pattern.contains('*')) {
            let name = format!("{} {}", route.method, route.pattern);
            let path = route.pattern.replace("{id}", "7").replace("{productId}", "7").replace(['{', '}'], "");
            for (has_pass, http) in &logins {
                let wanted = wanted(route.rule, role, *has_pass);
                let answer = http.request(route.method.clone(), &path).send().await.unwrap();
                assert_eq!(answer.status(), wanted, "{name} as {role:?}, with a pass: {has_pass}");
                asked += 1;
            }
        }
    }
    assert!(asked > 500, "{asked}");
}
