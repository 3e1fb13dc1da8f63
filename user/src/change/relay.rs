//! Tells Redis of changes. Every replica does; what is told twice changes nothing.

use std::time::Duration;

use anyhow::Context as _;
use common::redis::{Connections, Script, Value};
use common::stop::Stop;
use common::wire::denied::{DENIED, Denial, Denied};
use common::wire::token::LEEWAY_S;

use super::{Change, store};
use crate::account::store as accounts;
use crate::app::App;
use crate::session::IDENTITY_TTL_S;

/// Without a wake-up the table is looked at this often: another replica's rows have none, and Redis may be back.
const EVERY: Duration = Duration::from_secs(1);
/// Rows told at once.
const BATCH: i64 = 500;
/// How long a change matters: a token that was being made while it was committed may live so long after it.
pub(crate) const MATTERS: Duration = Duration::from_secs((IDENTITY_TTL_S + LEEWAY_S) as u64 + 60);

/// Tells, until the stop.
pub(crate) async fn run(app: App, stop: Stop) {
    let deny = Script::new(include_str!("lua/deny.lua"));
    let (mut told_to, mut works) = (None, true);
    while !stop.is_stopped() {
        let done = tokio::select! {
            done = tell(&app, &deny, &mut told_to) => done,
            // What is told twice does no harm, and what is not told stays written.
            () = stop.stopped() => return,
        };
        if let Err(error) = &done
            && works
        {
            let cause = format!("{error:#}");
            tracing::warn!(cause, "changes are not told: ended logins count on where they are used");
        }
        works = done.is_ok();
        tokio::select! {
            () = app.changes.0.notified() => {}
            _ = stop.pause(EVERY) => {}
        }
    }
}

/// Tells what waits to the server whose run is `told_to`; to another one, everything that matters.
async fn tell(app: &App, deny: &Script, told_to: &mut Option<String>) -> anyhow::Result<()> {
    app.metrics.changes_waiting.set(store::waiting(&app.pg).await?);
    let run = app.redis.run_id().await?;
    if told_to.as_ref() != Some(&run) {
        store::retell(&app.pg, app.clock.now() - MATTERS).await?;
        *told_to = Some(run);
    }
    loop {
        let changes = store::untold(&app.pg, BATCH).await?;
        for change in &changes {
            tell_one(app, deny, change).await?;
        }
        let ids: Vec<i64> = changes.iter().map(|change| change.change_id).collect();
        store::told(&app.pg, &ids).await?;
        if i64::try_from(ids.len()).is_ok_and(|count| count < BATCH) {
            app.metrics.changes_waiting.set(0);
            return Ok(());
        }
    }
}

async fn tell_one(app: &App, deny: &Script, change: &Change) -> anyhow::Result<()> {
    let until = (change.changed_at + MATTERS).timestamp();
    if let Some(sid) = change.session_id {
        return add(deny, &app.redis, Denial { what: Denied::Login(sid), until }).await;
    }
    let Some(account) = accounts::find(&app.pg, change.user_id).await? else { return Ok(()) };
    if change.of_role {
        let what = Denied::OtherRoles(account.user_id, account.role, account.version);
        add(deny, &app.redis, Denial { what, until }).await?;
    }
    app.profiles.try_put(&account).await
}

async fn add(deny: &Script, redis: &Connections, denial: Denial) -> anyhow::Result<()> {
    let keeps_ms = Value::from(i64::try_from(MATTERS.as_millis())?);
    let fields = denial.fields().into_iter().flat_map(|(name, value)| [Value::from(name), value.into()]);
    let args = std::iter::once(keeps_ms).chain(fields).collect();
    let _: String = deny.run(redis, vec![DENIED.into()], args).await.context("denied logins")?;
    Ok(())
}
