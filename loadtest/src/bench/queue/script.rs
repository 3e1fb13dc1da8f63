//! What Redis spends on scripts, and the least that a join has to do.

use std::time::Duration;

use common::redis::{Connections, Script};

use crate::bench::load::{self, Load};

/// The least that a registration has to do: draw a number, put it in the line.
const BARE: &str = "local t = redis.call('INCR', KEYS[1]) redis.call('ZADD', KEYS[2], t, ARGV[1]) return t";
/// Keys of the bare script; removed at the end.
const BARE_KEYS: [&str; 2] = ["loadtest:{bare}:tickets", "loadtest:{bare}:line"];
/// Calls in flight.
const WORKERS: usize = 64;

/// Runs the bare script over and over, for as many people as join, from the platform's own client.
pub(super) async fn bare(redis: &Connections, time: Duration, accounts: usize) -> anyhow::Result<Load> {
    let script = Script::new(BARE);
    let connections = redis.clone();
    let load = load::run(WORKERS, time, move |worker, number| {
        let (script, redis) = (script.clone(), connections.clone());
        async move {
            let user = (number * WORKERS + worker) % accounts;
            let keys = BARE_KEYS.map(String::from).to_vec();
            script.run::<i64>(&redis, keys, vec![user.to_string().into()]).await?;
            Ok(true)
        }
    })
    .await;
    redis.delete(BARE_KEYS.map(String::from).to_vec()).await?;
    Ok(load)
}

/// What the server spent on a command since it started, inside scripts too.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    /// Calls.
    pub(super) calls: f64,
    /// Microseconds.
    pub(super) micros: f64,
}

impl Spent {
    fn read(text: &str, command: &str) -> Self {
        let line = text.lines().find_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            (name == command).then_some(rest)
        });
        let field = |name: &str| {
            let value = line?.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            value?.trim().parse().ok()
        };
        Self { calls: field("calls").unwrap_or(0.0), micros: field("usec").unwrap_or(0.0) }
    }

    fn since(self, earlier: Self) -> Self {
        Self { calls: self.calls - earlier.calls, micros: self.micros - earlier.micros }
    }
}

/// Scripts, and the entries that they put into logs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scripts {
    /// Whole scripts, with the commands inside.
    pub(super) whole: Spent,
    /// `XADD`.
    pub(super) log: Spent,
}

impl Scripts {
    /// Up to now.
    pub(super) async fn now(redis: &Connections) -> anyhow::Result<Self> {
        let text = redis.command_stats().await?;
        Ok(Self { whole: Spent::read(&text, "evalsha"), log: Spent::read(&text, "xadd") })
    }

    /// What was spent after `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { whole: self.whole.since(earlier.whole), log: self.log.since(earlier.log) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_from_the_servers_figures() {
        let text = "# Commandstats\r\ncmdstat_eval:calls=9,usec=9\r\ncmdstat_evalsha:calls=10,usec=150,usec_per_call=15\r\n";
        let spent = Spent::read(text, "evalsha").since(Spent::read("", "evalsha"));
        assert_eq!((spent.calls, spent.micros), (10.0, 150.0));
    }
}
