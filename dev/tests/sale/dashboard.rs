//! Every query of every dashboard, asked of a live Prometheus that watched a sale.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use dev::stack::Stack;
use serde_json::Value;
use testkit::eventually;
use testkit::http::{Request, is_ok};
use testkit::port::on_free_port;
use testkit::process::{Process, Spec};

use crate::shop::shared;
use crate::{queries, rush};

/// Between two scrapes, in seconds.
const SCRAPE_S: u32 = 1;

/// Marks of queries that have an answer only when something went wrong.
const MAY_BE_EMPTY: [&str; 2] = ["astraphe_gateway_upstream_errors_total", "status=~\"5..\""];

fn settings(stack: &Stack) -> String {
    let mut jobs = format!("global:\n  scrape_interval: {SCRAPE_S}s\nscrape_configs:\n");
    for service in ["user", "product", "order", "queue-server", "gateway"] {
        let urls = if service == "gateway" { stack.gateway_admins() } else { stack.urls(service) };
        let targets: Vec<_> = urls.iter().map(|url| url.trim_start_matches("http://")).collect();
        jobs += &format!("  - job_name: {service}\n    static_configs: [{{targets: {targets:?}}}]\n");
    }
    jobs
}

fn prometheus(stack: &Stack) -> (Process, String) {
    let dir = stack.logs().with_file_name("prometheus");
    fs::create_dir_all(&dir).expect("the stack's folder can be written");
    let config = dir.join("prometheus.yml");
    fs::write(&config, settings(stack)).expect("the stack's folder can be written");
    let start = |port| {
        let url = format!("http://127.0.0.1:{port}");
        let ready = format!("{url}/-/ready");
        let spec = Spec::new("prometheus", "prometheus")
            .args([format!("--config.file={}", config.display())])
            .args([format!("--storage.tsdb.path={}", dir.join("data").display())])
            .args([format!("--web.listen-address=127.0.0.1:{port}")])
            .log(dir.join("prometheus.log"))
            .ready(Duration::from_secs(20), move |_| is_ok(&ready));
        Ok((Process::start(spec)?, url))
    };
    on_free_port(start).expect("Prometheus starts")
}

fn ask(prometheus: &str, query: &str) -> anyhow::Result<Value> {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let url = format!("{prometheus}/api/v1/query?query={encoded}");
    let answer = Request::get(&url).send()?.json()?;
    ensure!(answer["status"] == "success", "{query}: {answer}");
    Ok(answer["data"]["result"].clone())
}

#[tokio::test]
async fn every_query_of_every_dashboard_has_an_answer_during_a_sale() {
    let stack = &shared().stack;
    let (mut server, address) = prometheus(stack);
    let sale = rush::start(stack, 200, 20, "dashboard");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana");
    let dashboards = queries::all(&folder);
    assert!(!dashboards.is_empty(), "no dashboard in {}", folder.display());
    for (name, dashboard) in &dashboards {
        for expression in queries::expressions(dashboard, 30 * SCRAPE_S) {
            let may_be_empty = MAY_BE_EMPTY.iter().any(|mark| expression.query.contains(mark));
            eventually(Duration::from_secs(30), async || {
                let found = ask(&address, &expression.query)?;
                let answered = found.as_array().is_some_and(|series| !series.is_empty());
                ensure!(answered || may_be_empty, "{name}, {}: {}", expression.place, expression.query);
                Ok(())
            })
            .await;
        }
    }
    rush::finish(stack, sale, "dashboard");
    server.stop();
}
