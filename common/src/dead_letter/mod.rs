//! Dead letters: records that nobody could use, kept until somebody sends them again.
//!
//! Whoever meets such a record puts it into `<topic>.dlq` before it goes on. A service with a database keeps letters in
//! its own table: the stock stage those of its commands, in the transaction of its cursor; the order service those of
//! every other topic, as the `.dlq` topics tell of them. No letter is kept by both.
//!
//! - [`store`]: the table, and sending a letter again. [`collect`]: from the `.dlq` topics into the table.
//! - [`http`]: what ADMIN sees and does. [`cli`]: the same on the command line.
//!
//! The table, in the service's own migrations: `dead_letter(letter_id uuid, topic text, partition integer,
//! record_offset bigint, key text, body bytea, reason text, created_at timestamptz, redriven_at timestamptz,
//! redriven_by text)`, unique by topic, partition and offset; and for [`collect`]
//! `dead_letter_cursor(topic text, next_offset bigint)`.

pub mod cli;
pub mod collect;
pub mod http;
pub mod store;

use std::time::Duration;

use prometheus::IntGauge;
use sqlx::postgres::PgPool;

use crate::stop::Stop;

/// Between two counts.
const LOOK: Duration = Duration::from_secs(2);

/// Keeps a gauge of the letters that nobody has sent again up to date until the stop.
pub async fn watch(pool: PgPool, letters: IntGauge, stop: Stop) {
    while stop.pause(LOOK).await {
        match store::open(&pool).await {
            Ok(open) => letters.set(open),
            Err(error) => tracing::debug!(%error, "dead letters not counted"),
        }
    }
}
