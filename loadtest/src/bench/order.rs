//! Orders per second from placed to decided, through the gateway, against a row lock per order on the same
//! PostgreSQL.

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use common::auth::key::SigningKey;
use common::clock::Clock;
use common::wire::id::{ProductId, Ticket};
use common::wire::order::{OrderView, PlaceOrder, WantedLine};
use common::wire::product::ProductView;
use common::wire::queue::{Place, QueueState, TokenView};
use common::wire::token::{AUDIENCE, PASS_ISSUER, PASS_TYPE, Pass};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::time::Instant;
use uuid::Uuid;

use super::load::{self, Load};
use super::{Figure, Figures};
use crate::account::{self, Login};
use crate::http::{Agent, Call, Net};
use crate::sale::{self, Sale, Terms};
use crate::stack::Stack;

const WORKERS: usize = 64;
/// A row is locked by one at a time: more connections only wait longer.
const LOCKERS: usize = 8;
const SHOPPERS_MAX: usize = 2_000;
/// The largest purchase limit: so many tickets per account can be used.
const LIMIT: u32 = 100;
/// Tickets signed here begin far above any that the room gives.
const TICKETS_FROM: i64 = 1_000_000_000;
const UNITS: i64 = 1_000_000;
/// Tickets signed per second of the measurement: twice what the platform is to reach.
const TICKETS_PER_S: usize = 10_000;
/// Letting everybody in, and deciding the last orders, takes at most this long.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// The right to place one order.
#[derive(Debug)]
struct Right {
    login: Arc<Login>,
    pass: String,
}

/// Measures it.
pub(super) async fn run(stack: &Stack, time: Duration) -> anyhow::Result<Figures> {
    let shoppers = stack.shoppers.count.clamp(1, SHOPPERS_MAX);
    let logins = account::logins(stack, shoppers, &Clock::system())?.into_iter().map(Arc::new).collect();
    let net = Net::new(WORKERS);
    let terms = Terms { units: UNITS, limit: LIMIT, count: 100_000, interval_s: 1, ..Terms::default() };
    let sale = sale::register(stack, net.agent(0), terms).await?;
    let wanted = TICKETS_PER_S * usize::try_from(time.as_secs())?;
    let rights = rights(stack, &net, &sale, logins, wanted).await?;
    let prepared = rights.len();
    let wish = wish(stack, net.agent(0), &sale, &rights[0]).await?;
    let placed = place(&net, format!("{}/api/orders", stack.gateways()[0]), wish, rights, time).await;
    ensure!(placed.count() > 0, "no order was accepted: {}", placed.failure.unwrap_or_default());
    let pool = PgPoolOptions::new().max_connections(2).connect(stack.database("order")?).await?;
    let decided = decided(&pool, sale.product, placed.count()).await?;
    let locks = row_locks(stack.database("order")?, time).await?;
    sale::withdraw(stack, net.agent(0), &sale).await?;

    let mut further = placed.figures("order accepted with 202");
    further.push(Figure::new("accepted", placed.per_s(), "orders/s"));
    further.push(Figure::new("from accepted to decided, p50", decided.p50_ms, "ms"));
    further.push(Figure::new("from accepted to decided, p99", decided.p99_ms, "ms"));
    further.push(Figure::new("orders placed", placed.count() as f64, "orders"));
    further.push(Figure::new("rights prepared", prepared as f64, "tickets"));
    further.extend(locks.figures("row lock"));
    Ok(Figures::new(
        "order: POST /api/orders through the gateway, one hot product, until the stock has decided",
        Figure::new("orders accepted and decided", decided.per_s, "orders/s"),
        Figure::new("a row lock per order on the same PostgreSQL", locks.per_s(), "orders/s"),
        further,
    ))
}

/// Rights to order: signed here where the launcher named the key, else one per account through the waiting
/// room.
async fn rights(
    stack: &Stack,
    net: &Net,
    sale: &Sale,
    logins: Vec<Arc<Login>>,
    wanted: usize,
) -> anyhow::Result<Vec<Right>> {
    if let Some(file) = &stack.dev_keys.pass {
        let key = SigningKey::read(file)?;
        let tickets = logins.iter().flat_map(|login| (0..LIMIT).map(move |_| login));
        let signed =
            tickets.take(wanted).zip(TICKETS_FROM..).map(|(login, ticket)| signed(&key, sale, login, ticket));
        return signed.collect();
    }
    let mut rights = Vec::with_capacity(logins.len());
    for (number, login) in logins.into_iter().enumerate() {
        let url = format!("{}/api/queue/{}", stack.gateways()[0], sale.product);
        let pass = tokio::time::timeout(PATIENCE, enter(net.agent(number), &url, &login))
            .await
            .context("nobody is let in")??;
        rights.push(Right { login, pass });
    }
    Ok(rights)
}

fn signed(key: &SigningKey, sale: &Sale, login: &Arc<Login>, ticket: i64) -> anyhow::Result<Right> {
    let now = Clock::system().now_s();
    let claims = Pass {
        iss: PASS_ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: login.user,
        pid: sale.product,
        tkt: Ticket(ticket),
        sid: login.sid,
        epoch: 0,
        jti: Uuid::new_v4(),
        iat: now,
        nbf: now,
        exp: now + 595,
    };
    Ok(Right { login: Arc::clone(login), pass: key.sign(&claims, PASS_TYPE)? })
}

/// Goes through the waiting room.
async fn enter(agent: &Agent, url: &str, login: &Login) -> anyhow::Result<String> {
    let join = Call::post(url).bearer(&login.token).key(Uuid::new_v4());
    loop {
        // One key: however often it is sent, it is one registration.
        let answer = agent.send(&join).await?;
        if !answer.status.is_server_error() && answer.status != http::StatusCode::NOT_FOUND {
            let place: Place = answer.success("join")?;
            match (place.state, place.token) {
                (QueueState::Admitted, Some(token)) => return Ok(token),
                (QueueState::Admitted | QueueState::Ready, _) => {
                    let call = Call::post(format!("{url}/token")).bearer(&login.token);
                    return Ok(agent.send(&call).await?.success::<TokenView>("token")?.token);
                }
                (QueueState::Waiting, _) => {}
                (other, _) => bail!("in the line, but {other:?}"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One unit, with the first option of the product page.
async fn wish(stack: &Stack, agent: &Agent, sale: &Sale, right: &Right) -> anyhow::Result<PlaceOrder> {
    let url = format!("{}/api/products/{}", stack.gateways()[0], sale.product);
    let call = Call::get(url).bearer(&right.login.token).pass(&right.pass);
    let page: ProductView = agent.send(&call).await?.success("product page")?;
    let option_id = page.product_options.first().map(|option| option.option_id);
    let line = WantedLine { product_id: sale.product, option_id, quantity: 1 };
    Ok(PlaceOrder { lines: vec![line], shipping_address: Some("2 Harbour Road".into()), memo: None })
}

/// Every worker takes the next right and places the order.
async fn place(net: &Net, url: String, wish: PlaceOrder, rights: Vec<Right>, time: Duration) -> Load {
    let (net, rights, next) = (net.clone(), Arc::new(rights), Arc::new(AtomicUsize::new(0)));
    load::run(WORKERS, time, move |worker, _| {
        let call = rights.get(next.fetch_add(1, Ordering::Relaxed)).map(|right| {
            Call::post(&url).bearer(&right.login.token).pass(&right.pass).key(Uuid::new_v4()).json(&wish)
        });
        let agent = net.agent(worker).clone();
        async move {
            let Some(call) = call else { return Ok(false) };
            agent.send(&call).await?.success::<OrderView>("order")?;
            Ok(true)
        }
    })
    .await
}

/// How fast the orders were decided, by the order service's own clock.
#[derive(Debug)]
struct Decided {
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
}

async fn decided(pool: &PgPool, product: ProductId, orders: u64) -> anyhow::Result<Decided> {
    let until = Instant::now() + PATIENCE;
    loop {
        // The second transition of an order is its decision.
        let (decided, took_s, p50_ms, p99_ms): (i64, Option<f64>, Option<f64>, Option<f64>) = sqlx::query_as(
            "SELECT count(*), extract(epoch FROM max(t.at) - min(o.created_at))::float8,
                    1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t.at - o.created_at)),
                    1000 * percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM t.at - o.created_at))
             FROM order_hold h JOIN orders o USING (order_id) JOIN order_transition t USING (order_id)
             WHERE h.product_id = $1 AND t.seq = 2",
        )
        .bind(product.0)
        .fetch_one(pool)
        .await?;
        if u64::try_from(decided).unwrap_or(0) >= orders {
            let took_s = took_s.unwrap_or(0.0).max(0.001);
            let per_s = decided as f64 / took_s;
            return Ok(Decided { per_s, p50_ms: p50_ms.unwrap_or(0.0), p99_ms: p99_ms.unwrap_or(0.0) });
        }
        ensure!(Instant::now() < until, "{decided} of {orders} orders decided");
        tokio::time::sleep(LOOK).await;
    }
}

/// The usual way: lock the product's row, take a unit, write the reservation, commit. In a database of its
/// own.
async fn row_locks(database: &str, time: Duration) -> anyhow::Result<Load> {
    let options = PgConnectOptions::from_str(database)?;
    let name = format!("loadtest_{}", std::process::id());
    let mut server = PgConnection::connect_with(&options).await?;
    server.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
    let load = locked(options.database(&name), time).await;
    server.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await?;
    server.close().await?;
    load
}

async fn locked(scratch: PgConnectOptions, time: Duration) -> anyhow::Result<Load> {
    let connections = u32::try_from(LOCKERS)?;
    let pool = PgPoolOptions::new().max_connections(connections).connect_with(scratch).await?;
    pool.execute(
        "CREATE TABLE stock (product_id bigint PRIMARY KEY, available bigint NOT NULL, reserved bigint NOT NULL)
         WITH (fillfactor = 50);
         CREATE TABLE reservation (order_id uuid PRIMARY KEY, product_id bigint NOT NULL, user_id bigint NOT NULL);
         INSERT INTO stock VALUES (1, 1000000000, 0)",
    )
    .await?;
    let workers = pool.clone();
    let load = load::run(LOCKERS, time, move |worker, number| {
        let pool = workers.clone();
        async move { one(&pool, (number * LOCKERS + worker) as i64).await }
    })
    .await;
    pool.close().await;
    Ok(load)
}

async fn one(pool: &PgPool, user: i64) -> anyhow::Result<bool> {
    let mut tx = pool.begin().await?;
    let available: i64 = sqlx::query_scalar("SELECT available FROM stock WHERE product_id = 1 FOR UPDATE")
        .fetch_one(&mut *tx)
        .await?;
    ensure!(available > 0, "sold out");
    tx.execute("UPDATE stock SET available = available - 1, reserved = reserved + 1 WHERE product_id = 1")
        .await?;
    sqlx::query("INSERT INTO reservation VALUES ($1, 1, $2)")
        .bind(Uuid::now_v7())
        .bind(user)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(true)
}
