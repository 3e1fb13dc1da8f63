//! Rows of `payment_attempt`.

use common::wire::Time;
use common::wire::id::{OrderId, PaymentId, UserId};
use common::wire::money::Won;
use sqlx::{PgConnection, PgPool};

use super::provider::{CALL_MAX, Hint, NAME};
use super::resolve::give_up;
use super::{Attempt, rules};

/// Calls that one look at an attempt or a refund makes at most: it is asked about, and what is given back is looked at
/// once more before.
const CALLS_MAX: i32 = 3;

/// Whoever asks the provider about an attempt or a refund has this long: all the calls, and a while to store the answer.
pub fn lease() -> chrono::Duration {
    chrono::Duration::from_std(CALL_MAX).expect("some seconds fit") * CALLS_MAX + chrono::Duration::seconds(2)
}

/// Stores a new attempt as sent, leased to the caller.
///
/// # Errors
/// The database's; a violation of `payment_one_per_order` or `payment_key_used`.
pub async fn insert(
    tx: &mut PgConnection,
    (order, user, amount): (OrderId, UserId, Won),
    payment_key: String,
    user_key: String,
    now: Time,
) -> Result<Attempt, sqlx::Error> {
    // The order's row is locked: the number cannot be taken twice.
    let number = sqlx::query_scalar!(
        r#"SELECT count(*) + 1 AS "number!" FROM payment_attempt WHERE order_id = $1"#,
        order.0,
    )
    .fetch_one(&mut *tx)
    .await?;
    let attempt = Attempt {
        id: PaymentId::new(),
        order,
        payment_key,
        idempotency_key: format!("confirm:{order}:{number}"),
        amount,
        user,
        user_key,
        declined: false,
        checks: 0,
        hints: 0,
        created_at: now,
    };
    sqlx::query!(
        "INSERT INTO payment_attempt (payment_id, order_id, number, provider, provider_ref, idempotency_key, amount,
                                      state, user_id, user_key, next_check_at, created_at, updated_at)
         VALUES ($1, $2, $3::bigint::integer, $4, $5, $6, $7, 'sent', $8, $9, $10, $11, $11)",
        attempt.id.0,
        order.0,
        number,
        NAME,
        attempt.payment_key,
        attempt.idempotency_key,
        amount.0,
        user.0,
        attempt.user_key,
        now + lease(),
        now,
    )
    .execute(tx)
    .await?;
    Ok(attempt)
}

/// Attempts whose outcome is unknown and whose time has come, leased to the caller: those the provider left open,
/// those of a process that died on the way, and those the provider hints at: declined ones last, as whoever pays can make
/// any number of them.
///
/// # Errors
/// The database's.
pub async fn claim_open(pool: &PgPool, now: Time, max: i64) -> Result<Vec<Attempt>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"UPDATE payment_attempt SET next_check_at = $2
           WHERE payment_id IN (
               SELECT payment_id FROM payment_attempt
               WHERE (state IN ('sent', 'unknown') OR hinted) AND next_check_at <= $1
               ORDER BY state = 'declined', next_check_at LIMIT $3 FOR UPDATE SKIP LOCKED)
           RETURNING payment_id AS "id: PaymentId", order_id AS "order: OrderId", provider_ref, idempotency_key,
                     amount AS "amount: Won", user_id AS "user: UserId", user_key, checks, hints,
                     created_at, state = 'declined' AS "declined!""#,
        now,
        now + lease(),
        max,
    )
    .fetch_all(pool)
    .await?;
    let attempt = rows.into_iter().map(|row| Attempt {
        id: row.id,
        order: row.order,
        payment_key: row.provider_ref,
        idempotency_key: row.idempotency_key,
        amount: row.amount,
        user: row.user,
        user_key: row.user_key,
        declined: row.declined,
        checks: row.checks.unsigned_abs(),
        hints: row.hints,
        created_at: row.created_at,
    });
    Ok(attempt.collect())
}

/// Ends an open attempt as `approved` or `declined`; false when somebody else has ended it. A hint that came meanwhile at
/// one that is declined is followed at once: it may know more.
///
/// # Errors
/// The database's.
pub async fn end(
    tx: &mut PgConnection,
    id: PaymentId,
    (state, code): (&str, Option<&str>),
    raw: Option<&serde_json::Value>,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query!(
        "UPDATE payment_attempt
         SET state = $2, code = $3, raw = $4, updated_at = $5, next_check_at = $5, hinted = hinted AND $2 = 'declined'
         WHERE payment_id = $1 AND state IN ('sent', 'unknown')",
        id.0,
        state,
        code,
        raw,
        now,
    )
    .execute(tx)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// When the oldest attempt was made whose outcome is unknown.
///
/// # Errors
/// The database's.
pub async fn oldest_open(pool: &PgPool) -> Result<Option<Time>, sqlx::Error> {
    sqlx::query_scalar!("SELECT min(created_at) FROM payment_attempt WHERE state IN ('sent', 'unknown')")
        .fetch_one(pool)
        .await
}

/// Leaves an open attempt for the resolver, soon where a hint came while it was asked about; false when somebody else has
/// ended it.
///
/// # Errors
/// The database's.
pub async fn postpone(
    tx: &mut PgConnection,
    attempt: &Attempt,
    why: &str,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let pause = |checks| chrono::Duration::from_std(rules::pause(checks)).expect("five minutes fit");
    let postponed = sqlx::query!(
        "UPDATE payment_attempt
         SET state = 'unknown', code = $2, checks = $3::bigint::integer + 1, updated_at = $5, hinted = hints <> $6,
             next_check_at = CASE WHEN hints <> $6 THEN $7::timestamptz ELSE $4 END
         WHERE payment_id = $1 AND state IN ('sent', 'unknown')",
        attempt.id.0,
        why,
        i64::from(attempt.checks),
        now + pause(attempt.checks),
        now,
        attempt.hints,
        now + pause(0),
    )
    .execute(tx)
    .await?;
    Ok(postponed.rows_affected() == 1)
}

/// Whether another attempt pays the same order, has paid it, or may.
///
/// # Errors
/// The database's.
pub async fn has_other(tx: &mut PgConnection, attempt: &Attempt) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM payment_attempt
                          WHERE order_id = $1 AND payment_id <> $2
                            AND state IN ('sent', 'unknown', 'approved')) AS "other!""#,
        attempt.order.0,
        attempt.id.0,
    )
    .fetch_one(tx)
    .await
}

/// Counts an attempt as `approved` or `surplus` after all; false when somebody else did.
///
/// # Errors
/// The database's.
pub async fn approve_late(
    tx: &mut PgConnection,
    id: PaymentId,
    state: &str,
    raw: &serde_json::Value,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let approved = sqlx::query!(
        "UPDATE payment_attempt SET state = $2, raw = $3, updated_at = $4, hinted = false
         WHERE payment_id = $1 AND state IN ('sent', 'unknown', 'declined')",
        id.0,
        state,
        raw,
        now,
    )
    .execute(tx)
    .await?;
    Ok(approved.rows_affected() == 1)
}

/// Takes a hint: the payment, and its refund, are asked about soon. False where there is nothing to ask about: not our
/// payment, or a repeat.
///
/// One that is being confirmed keeps its lease: whoever confirms it will know. One that was declined keeps its pause
/// since it was last asked about, however many hints come. And one that is about to be given up keeps its lease too: of
/// two who ask, one could find it approved while the other gives the money back.
///
/// # Errors
/// The database's.
pub async fn take_hint(tx: &mut PgConnection, hint: &Hint, now: Time) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query!(
        "INSERT INTO webhook_receipt (provider, transmission_id, payment_id, received_at)
         SELECT provider, $3, payment_id, $4 FROM payment_attempt WHERE provider = $1 AND provider_ref = $2
         ON CONFLICT DO NOTHING",
        NAME,
        hint.payment_key,
        hint.transmission,
        now,
    )
    .execute(&mut *tx)
    .await?;
    if taken.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "WITH asked AS (
             UPDATE refund SET next_check_at = $3
             FROM payment_attempt
             WHERE refund.payment_id = payment_attempt.payment_id AND refund.state = 'unknown'
               AND provider = $1 AND provider_ref = $2)
         UPDATE payment_attempt
         SET hinted = true, hints = hints + 1,
             next_check_at = CASE WHEN state = 'unknown' AND created_at > $4 THEN $3 ELSE next_check_at END
         WHERE provider = $1 AND provider_ref = $2 AND state IN ('sent', 'unknown', 'declined')",
        NAME,
        hint.payment_key,
        now,
        now - give_up() + lease(),
    )
    .execute(tx)
    .await?;
    Ok(true)
}

/// The hints at a declined attempt that were known when it was claimed were followed. It is asked about again where the
/// provider gave no clear answer, or hinted once more meanwhile.
///
/// # Errors
/// The database's.
pub async fn followed(pool: &PgPool, attempt: &Attempt, clear: bool, now: Time) -> Result<(), sqlx::Error> {
    let pause = chrono::Duration::from_std(rules::pause(attempt.checks)).expect("five minutes fit");
    sqlx::query!(
        "UPDATE payment_attempt SET hinted = NOT $2 OR hints <> $4, checks = checks + 1, next_check_at = $3
         WHERE payment_id = $1 AND state = 'declined'",
        attempt.id.0,
        clear,
        now + pause,
        attempt.hints,
    )
    .execute(pool)
    .await?;
    Ok(())
}
