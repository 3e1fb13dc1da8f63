//! Finds a request's row of the route table: one step per path segment, a literal before a placeholder.

use std::collections::HashMap;

use anyhow::ensure;
use common::wire::id::ProductId;
use http::Method;

use crate::error::Error;
use crate::path;
use crate::routes::{Route, Rule};

/// First segments under which no static page is ever looked for: what is not in the table there does not exist.
const NO_PAGES: &[&str] = &["api", "internal", "livez", "readyz", "metrics", ".well-known"];
/// Route label of requests that match no row.
const UNMATCHED: &str = "unmatched";

/// The table, ready for look-ups.
#[derive(Debug)]
pub struct Router {
    root: Node,
    pages: Option<Row>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<&'static str, Node>,
    placeholder: Option<Box<Node>>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    route: &'static Route,
    /// Its place in the table.
    number: usize,
}

/// The row that a request belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The row.
    pub route: &'static Route,
    /// Its place in the table.
    pub number: usize,
    /// The product in the path, where the row's rule asks for it.
    pub product: Option<ProductId>,
}

/// What a look-up gives: a label for logs and figures in any case, and the row or why there is none.
#[derive(Debug)]
pub struct Found {
    /// The row's pattern, or `unmatched`.
    pub label: &'static str,
    /// The row.
    pub target: Result<Target, Error>,
}

impl Router {
    /// Builds the look-up.
    ///
    /// # Errors
    /// When two rows are the same, or a rule asks for a product that the path does not name.
    pub fn new(table: &'static [Route]) -> anyhow::Result<Self> {
        let mut router = Self { root: Node::default(), pages: None };
        for (number, route) in table.iter().enumerate() {
            let name = format!("{} {}", route.method, route.pattern);
            let one_id = route.pattern.matches('{').count() == 1;
            ensure!(
                route.rule != Rule::Pass || one_id,
                "{name}: which product does the pass have to be for?"
            );
            if route.pattern.contains("{*") {
                let row = Row { route, number };
                ensure!(router.pages.replace(row).is_none(), "{name}: a second row for all that is left");
                continue;
            }
            let rows = &mut router.root.grow(route.pattern).rows;
            ensure!(rows.iter().all(|row| row.route.method != route.method), "{name} stands there twice");
            rows.push(Row { route, number });
        }
        Ok(router)
    }

    /// Finds the row of a request.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> Found {
        if let Err(wrong) = path::check(path) {
            return Found { label: UNMATCHED, target: Err(Error::BadPath(wrong)) };
        }
        match self.root.walk(path) {
            Some((node, placeholder)) => node.choose(method, placeholder),
            None => self.page(method, path),
        }
    }

    fn page(&self, method: &Method, path: &str) -> Found {
        let mut segments = path.split('/').skip(1);
        let first = segments.next().unwrap_or_default();
        let hidden = path.split('/').any(|segment| segment.starts_with('.'));
        match self.pages {
            Some(Row { route, number })
                if answers(route, method) && !hidden && !NO_PAGES.contains(&first) =>
            {
                Found { label: route.pattern, target: Ok(Target { route, number, product: None }) }
            }
            _ => Found { label: UNMATCHED, target: Err(Error::NoSuchRoute) },
        }
    }
}

impl Node {
    fn grow(&mut self, pattern: &'static str) -> &mut Self {
        let mut node = self;
        for segment in pattern.split('/').skip(1) {
            node = match segment.starts_with('{') {
                true => node.placeholder.get_or_insert_default(),
                false => node.literals.entry(segment).or_default(),
            };
        }
        node
    }

    /// The node with rows that a path ends at, and what stood for its last placeholder.
    fn walk<'p>(&self, path: &'p str) -> Option<(&Self, Option<&'p str>)> {
        let mut found = (self, None);
        for segment in path.split('/').skip(1) {
            found = match found.0.literals.get(segment) {
                Some(next) => (next, found.1),
                None if segment.is_empty() => return None,
                None => (found.0.placeholder.as_deref()?, Some(segment)),
            };
        }
        Some(found).filter(|(node, _)| !node.rows.is_empty())
    }

    fn choose(&self, method: &Method, placeholder: Option<&str>) -> Found {
        let Some(row) = self.rows.iter().find(|row| answers(row.route, method)) else {
            let label = self.rows.first().map_or(UNMATCHED, |row| row.route.pattern);
            return Found { label, target: Err(Error::MethodNotAllowed { allow: self.allow() }) };
        };
        let target = match *row {
            Row { route, number } if route.rule == Rule::Pass => {
                // The id that the pass is compared with must be the one that the service reads.
                let id = placeholder
                    .and_then(|text| text.parse::<ProductId>().ok().filter(|id| id.to_string() == text));
                id.map(|id| Target { route, number, product: Some(id) }).ok_or(Error::NoSuchRoute)
            }
            Row { route, number } => Ok(Target { route, number, product: None }),
        };
        Found { label: row.route.pattern, target }
    }

    fn allow(&self) -> String {
        let mut methods: Vec<&str> = self.rows.iter().map(|row| row.route.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.sort_unstable();
        methods.join(", ")
    }
}

fn answers(route: &Route, method: &Method) -> bool {
    route.method == *method || (route.method == Method::GET && *method == Method::HEAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::TABLE;

    fn router() -> Router {
        Router::new(TABLE).unwrap()
    }

    #[test]
    fn every_row_finds_itself() {
        let router = router();
        for route in TABLE {
            let path = route.pattern.replace("{*file}", "shopper/index.html").replace("{id}", "7");
            let path = path.replace("{productId}", "7").replace(['{', '}'], "");
            let found = router.find(&route.method, &path);
            assert_eq!(found.label, route.pattern);
            let name = format!("{} {}", route.method, route.pattern);
            assert!(found.target.is_ok_and(|target| std::ptr::eq(target.route, route)), "{name}");
        }
    }

    #[test]
    fn what_is_inside_is_never_routed() {
        let router = router();
        for path in [
            "/internal",
            "/internal/products/7/snapshot",
            "/livez",
            "/readyz",
            "/metrics",
            "/api",
            "/api/",
            "/api/orders/",
            "/api/unknown",
            "/API/orders/x/y",
            "/.git/config",
            "/shopper/.env",
            "/.well-known/x",
            "/api/products/popular/summary",
            "/api/products/seven",
            "/api/products/07",
            "/api/products/+7",
            "/api/products/-0",
            "/api/products/99999999999999999999",
        ] {
            for method in [Method::GET, Method::POST] {
                let found = router.find(&method, path);
                let known = found.label == "/api/products/{id}" && method == Method::POST;
                let page = path.starts_with("/API") && method == Method::GET;
                assert!(
                    known || page || matches!(found.target, Err(Error::NoSuchRoute)),
                    "{method} {path}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn what_shoppers_were_let_in_for_goes_first() {
        let first = TABLE.iter().filter(|route| route.is_in());
        let first: Vec<String> = first.map(|route| format!("{} {}", route.method, route.pattern)).collect();
        assert_eq!(
            first,
            [
                "GET /api/products/{id}",
                "POST /api/queue/{productId}/token",
                "POST /api/orders",
                "POST /api/orders/{id}/cancel",
                "POST /api/orders/{id}/payment",
            ]
        );
    }

    #[test]
    fn a_table_that_contradicts_itself_does_not_start() {
        let twice: &'static [Route] = Box::leak(Box::new([
            Route { method: Method::GET, ..*first() },
            Route { method: Method::GET, ..*first() },
        ]));
        assert!(Router::new(twice).is_err());
    }

    fn first() -> &'static Route {
        &TABLE[0]
    }
}
