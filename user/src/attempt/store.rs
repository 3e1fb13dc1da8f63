//! The tables `login_failure` and `familiar`.

use common::wire::Time;
use common::wire::id::UserId;
use sqlx::{PgConnection, PgPool};

use super::rules::{self, Bucket};
use super::{Clear, Device, Look, Origin, digest};
use crate::account::store::Credentials;
use crate::error::Error;

/// Browsers and addresses remembered of an account; one more drops the oldest.
const FAMILIAR_MAX: i64 = 50;

/// Looks up the account and what was tried before. Gives back also the buckets in which a failure counts.
///
/// # Errors
/// [`Error::TooManyAttempts`].
pub(crate) async fn look(
    pg: &PgPool,
    login_id: &str,
    origin: &Origin,
    now: Time,
) -> Result<(Look, Vec<Bucket>), Error> {
    let keys = rules::keys(login_id, origin);
    let row = sqlx::query_file!(
        "src/attempt/sql/look.sql",
        login_id,
        origin.device.map(|device| of_device(device).to_vec()),
        of_address(origin).to_vec(),
        keys.at_device.map(|key| key.to_vec()),
        keys.at_address.as_slice(),
        keys.address.as_slice(),
        keys.account.as_slice(),
    )
    .fetch_one(pg)
    .await?;
    let found = row.user_id.zip(row.password_hash).zip(row.password_changed_at);
    let account = found.map(|((user_id, password_hash), password_changed_at)| Credentials {
        user_id,
        password_hash,
        password_changed_at,
    });
    let clear = Clear {
        at_device: row.at_device,
        at_address: row.at_address,
        address: row.address,
        account: row.account,
    };
    let look = Look { account, knows_device: row.knows_device, knows_address: row.knows_address, clear };
    let buckets = rules::admit(&look, &keys, now).map_err(|wait| Error::TooManyAttempts { wait })?;
    Ok((look, buckets))
}

/// Whether the bucket of a session has room.
///
/// # Errors
/// [`Error::TooManyAttempts`].
pub(crate) async fn look_at_session(pg: &PgPool, bucket: &Bucket, now: Time) -> Result<(), Error> {
    let key = bucket.key.as_slice();
    let row = sqlx::query_scalar!("SELECT clear_at FROM login_failure WHERE bucket = $1", key);
    let clear_at = row.fetch_optional(pg).await?;
    rules::wait_of_session(clear_at, now).map_or(Ok(()), |wait| Err(Error::TooManyAttempts { wait }))
}

/// Counts a failure.
pub(crate) async fn fail(pg: &PgPool, buckets: &[Bucket], now: Time) -> Result<(), Error> {
    let keys: Vec<Vec<u8>> = buckets.iter().map(|bucket| bucket.key.to_vec()).collect();
    let clear: Vec<Time> = buckets.iter().map(|bucket| now + bucket.each).collect();
    // In one order, so that two failures never wait for each other.
    sqlx::query!(
        "INSERT INTO login_failure (bucket, clear_at)
         SELECT bucket, clear_at FROM unnest($1::bytea[], $2::timestamptz[]) AS new (bucket, clear_at) ORDER BY bucket
         ON CONFLICT (bucket) DO UPDATE
         SET clear_at = greatest(login_failure.clear_at, $3) + (excluded.clear_at - $3)",
        &keys,
        &clear,
        now,
    )
    .execute(pg)
    .await?;
    Ok(())
}

/// The account has logged in there.
pub(crate) async fn succeed(
    pg: &PgPool,
    user: UserId,
    (origin, device): (&Origin, Option<Device>),
    now: Time,
) -> Result<(), Error> {
    let known = [Some(of_address(origin)), device.map(of_device)];
    let known: Vec<Vec<u8>> = known.into_iter().flatten().map(|key| key.to_vec()).collect();
    sqlx::query!(
        "WITH gone AS (
             DELETE FROM familiar WHERE user_id = $1 AND origin IN (
                 SELECT origin FROM familiar WHERE user_id = $1 ORDER BY since DESC OFFSET $4::bigint - cardinality($2::bytea[])
             )
         )
         INSERT INTO familiar (user_id, origin, since) SELECT $1, origin, $3 FROM unnest($2::bytea[]) AS new (origin)
         ON CONFLICT DO NOTHING",
        user.0,
        &known,
        now,
        FAMILIAR_MAX,
    )
    .execute(pg)
    .await?;
    Ok(())
}

fn of_device(device: Device) -> [u8; 32] {
    digest(&[b"device", &device.0])
}

fn of_address(origin: &Origin) -> [u8; 32] {
    digest(&[b"address", origin.network.to_string().as_bytes()])
}

/// Removes at most `most` rows of each kind that say nothing any more: clear buckets, and what became familiar before
/// `long_ago`. Says how many it were.
pub(crate) async fn forget(pg: &PgPool, now: Time, long_ago: Time, most: i64) -> Result<u64, Error> {
    let clear = sqlx::query!(
        "DELETE FROM login_failure WHERE bucket IN (
             SELECT bucket FROM login_failure WHERE clear_at <= $1 LIMIT $2)",
        now,
        most,
    );
    let old = sqlx::query!(
        "DELETE FROM familiar WHERE (user_id, origin) IN (
             SELECT user_id, origin FROM familiar WHERE since <= $1 LIMIT $2)",
        long_ago,
        most,
    );
    Ok(clear.execute(pg).await?.rows_affected() + old.execute(pg).await?.rows_affected())
}

/// Forgets where an account has logged in.
pub(crate) async fn forget_account(tx: &mut PgConnection, user: UserId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM familiar WHERE user_id = $1", user.0).execute(tx).await?;
    Ok(())
}
