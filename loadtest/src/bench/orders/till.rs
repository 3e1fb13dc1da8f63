//! A sale of one hot product, and rights to order it: every order has a ticket of its own, as in a sale.

use std::sync::Arc;

use anyhow::Context as _;
use common::auth::key::SigningKey;
use common::clock::Clock;
use common::wire::order::{PlaceOrder, WantedLine};
use common::wire::product::ProductView;
use uuid::Uuid;

use super::Run;
use crate::account::{self, Login};
use crate::fast;
use crate::http::{Call, Net};
use crate::sale::{self, Sale, Terms};

/// The largest purchase limit: so many tickets per account can be used.
const LIMIT: u32 = 100;
/// Tickets signed here begin far above any that the room gives.
const TICKETS_FROM: i64 = 1_000_000_000;

/// A running sale.
pub(super) struct Till {
    pub(super) sale: Sale,
    net: Net,
    key: Arc<SigningKey>,
    logins: Arc<[Login]>,
    body: Arc<str>,
    used: usize,
}

impl Till {
    /// Registers `units`; as many as `orders` orders can be placed.
    pub(super) async fn open(run: &Run<'_>, units: i64, orders: usize) -> anyhow::Result<Self> {
        let net = Net::new(1);
        let file = run.stack.dev_keys.pass.as_ref().context("stack.json names no key of access tokens")?;
        let key = SigningKey::read(file)?;
        // Orders know people by their tokens alone: there may be more of them than accounts.
        let people = orders.div_ceil(LIMIT as usize).max(1);
        let logins = account::numbered(run.stack, 0..people, &Clock::system())?;
        let terms = Terms { units, limit: LIMIT, count: 100_000, interval_s: 1, ..Terms::default() };
        let sale = sale::register(run.stack, net.agent(0), terms).await?;
        let pass = account::pass(&key, sale.product, &logins[0], TICKETS_FROM)?;
        let url = format!("{}/api/products/{}", run.stack.gateways()[0], sale.product);
        let call = Call::get(url).bearer(&logins[0].token).pass(&pass);
        let page: ProductView = net.agent(0).send(&call).await?.success("product page")?;
        let option_id = page.product_options.first().map(|option| option.option_id);
        let line = WantedLine { product_id: sale.product, option_id, quantity: 1 };
        let wish =
            PlaceOrder { lines: vec![line], shipping_address: Some("2 Harbour Road".into()), memo: None };
        let body = serde_json::to_string(&wish)?.into();
        Ok(Self { sale, net, key: Arc::new(key), logins: logins.into(), body, used: 0 })
    }

    /// The next `count` orders, as bytes, each made when it is asked for.
    pub(super) fn orders(&mut self, count: usize) -> impl Iterator<Item = Arc<[u8]>> + Send + use<> {
        let first = self.used;
        self.used += count;
        let (key, logins) = (Arc::clone(&self.key), Arc::clone(&self.logins));
        let (body, product) = (Arc::clone(&self.body), self.sale.product);
        (first..first + count).map_while(move |number| {
            let login = logins.get(number / LIMIT as usize)?;
            let pass = account::pass(&key, product, login, TICKETS_FROM + number as i64);
            let pass = pass.expect("the key has signed before");
            let further = format!("x-access-token: {pass}\r\nidempotency-key: {}\r\n", Uuid::new_v4());
            Some(fast::post("/api/orders", &login.token, &further, &body))
        })
    }

    /// Ends the sale.
    pub(super) async fn close(self, run: &Run<'_>) -> anyhow::Result<()> {
        sale::withdraw(run.stack, self.net.agent(0), &self.sale).await
    }
}
