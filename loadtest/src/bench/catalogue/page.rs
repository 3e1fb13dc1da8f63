//! One product that everybody reads: at the start of a sale, by those who were let in.

use std::sync::Arc;

use anyhow::Context as _;
use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::{InternalKey, SigningKey};
use common::clock::Clock;
use common::wire::id::ProductId;
use common::wire::product::ProductView;
use common::wire::token::ASSERTION_HEADER;

use super::Run;
use crate::account;
use crate::bench::board::{Asked, Part};
use crate::bench::process::Process;
use crate::fast::{self, Barrage};
use crate::http::Call;
use crate::sale::wish;

/// People who read; each was seen before.
const READERS: usize = 1_000;
const CONNECTIONS: usize = 64;
/// Rates are measured this often, and the best counts: other work on the machine only ever takes away.
const ROUNDS: usize = 3;

/// Whole requests.
type Requests = Vec<Arc<[u8]>>;

/// Measures it.
pub(super) async fn measure(run: &Run<'_>) -> anyhow::Result<Part> {
    let mut part = Part::new("one product's page, read by everybody who was let in");
    let call = Call::post(format!("{}/api/products", run.url()?)).bearer(&run.seller.token);
    let call = call.json(&wish(run.seller.company, "read by everybody"));
    let made: ProductView = run.net.agent(0).send(&call).await?.success("registering a product")?;
    let product = made.summary.product_id;
    let (asserted, tokens) = requests(run, product).await?;
    let summary = vec![fast::request("GET", &format!("/api/products/{product}/summary"), None, "")];
    let least = Some(30_000.0);
    shoot(run, &mut part, "page, asked by the gateway", (asserted, least)).await?;
    shoot(run, &mut part, "page, with both tokens", (tokens, None)).await?;
    shoot(run, &mut part, "summary, without any", (summary, None)).await?;
    Ok(part)
}

/// The readers' requests: as the gateway passes them on, with what it has verified, and with the tokens themselves, of
/// which the service checks the second anew each time.
async fn requests(run: &Run<'_>, product: ProductId) -> anyhow::Result<(Requests, Requests)> {
    let keys = &run.stack.dev_keys;
    let pass_key = SigningKey::read(keys.pass.as_ref().context("stack.json names no key of access tokens")?)?;
    let internal = keys.internal.as_ref().context("stack.json names no internal key")?;
    let identities = KeySet::fixed(&SigningKey::read(&keys.identity)?.jwks())?;
    let passes = KeySet::fixed(&pass_key.jwks())?;
    let verifier = Verifier::new(identities, passes, InternalKey::read(internal)?, Clock::system());
    let path = format!("/api/products/{product}");
    let (mut asserted, mut tokens) = (Vec::new(), Vec::new());
    for (reader, ticket) in account::numbered(run.stack, 0..READERS, &Clock::system())?.iter().zip(1..) {
        let token = account::pass(&pass_key, product, reader, ticket)?;
        let identity = verifier.identity(&reader.token).await?;
        let pass = verifier.pass(&token, &identity).await?;
        let assertion = format!("{ASSERTION_HEADER}: {}\r\n", verifier.assert(&identity, &[pass])?);
        asserted.push(fast::request("GET", &path, None, &assertion));
        tokens.push(fast::request(
            "GET",
            &path,
            Some(&reader.token),
            &format!("x-access-token: {token}\r\n"),
        ));
    }
    Ok((asserted, tokens))
}

async fn shoot(
    run: &Run<'_>,
    part: &mut Part,
    what: &str,
    (requests, least): (Requests, Option<f64>),
) -> anyhow::Result<()> {
    let product = Process::of(run.stack, "product")?;
    let mut best: Option<(fast::Volley, f64)> = None;
    for _ in 0..=ROUNDS {
        let before = product.cpu()?;
        let volley = fast::fire(Barrage {
            to: run.server()?,
            requests: Box::new(requests.clone().into_iter().cycle()),
            connections: CONNECTIONS,
            time: Some(run.time / 2),
            rate: None,
        });
        let volley = volley.await?;
        let cpu = product.cpu()?.since(before).total();
        if best.as_ref().is_none_or(|(other, _)| volley.per_s() > other.per_s()) {
            best = Some((volley, cpu));
        }
    }
    let (volley, cpu) = best.expect("there was a round");
    match least {
        Some(least) => part.asked(what, volley.per_s(), "1/s", Asked::AtLeast(least)),
        None => part.seen(what, volley.per_s(), "1/s"),
    }
    part.seen(format!("{what}, product service"), volley.count() as f64 / cpu, "requests per CPU-s");
    part.seen(
        format!("{what}, generator"),
        volley.count() as f64 / volley.cpu_s.max(0.01),
        "requests per CPU-s",
    );
    part.seen(format!("{what}, p99"), volley.latency.value_at_quantile(0.99) as f64 / 1e3, "ms");
    if let Some(why) = volley.failure {
        part.asked(format!("{what}, failed"), volley.failed as f64, "", Asked::AtMost(0.0));
        part.note(why);
    }
    Ok(())
}
