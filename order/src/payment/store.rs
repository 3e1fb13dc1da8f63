//! Rows of `payment_attempt`.

use common::wire::Time;
use common::wire::id::{OrderId, PaymentId, UserId};
use common::wire::money::Won;
use sqlx::{PgConnection, PgPool};

use super::provider::{CALL_MAX, NAME};
use super::{Attempt, rules};

/// Whoever asks the provider about an attempt has this long: the call and a while to store its answer.
fn lease() -> chrono::Duration {
    chrono::Duration::from_std(CALL_MAX).expect("some seconds fit") + chrono::Duration::seconds(2)
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
        checks: 0,
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

/// Attempts whose outcome is unknown and whose time has come, leased to the caller: those the provider left open, and
/// those of a process that died on the way.
///
/// # Errors
/// The database's.
pub async fn claim_open(pool: &PgPool, now: Time, max: i64) -> Result<Vec<Attempt>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"UPDATE payment_attempt SET next_check_at = $2
           WHERE payment_id IN (
               SELECT payment_id FROM payment_attempt
               WHERE state IN ('sent', 'unknown') AND next_check_at <= $1
               ORDER BY next_check_at LIMIT $3 FOR UPDATE SKIP LOCKED)
           RETURNING payment_id AS "id: PaymentId", order_id AS "order: OrderId", provider_ref, idempotency_key,
                     amount AS "amount: Won", user_id AS "user: UserId", user_key, checks, created_at"#,
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
        checks: row.checks.unsigned_abs(),
        created_at: row.created_at,
    });
    Ok(attempt.collect())
}

/// Ends an open attempt as `approved` or `declined`; false when somebody else has ended it.
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
        "UPDATE payment_attempt SET state = $2, code = $3, raw = $4, updated_at = $5
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

/// Leaves an open attempt for the resolver; false when somebody else has ended it.
///
/// # Errors
/// The database's.
pub async fn postpone(
    tx: &mut PgConnection,
    attempt: &Attempt,
    why: &str,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let pause = chrono::Duration::from_std(rules::pause(attempt.checks)).expect("five minutes fit");
    let postponed = sqlx::query!(
        "UPDATE payment_attempt
         SET state = 'unknown', code = $2, checks = $3::bigint::integer + 1, next_check_at = $4, updated_at = $5
         WHERE payment_id = $1 AND state IN ('sent', 'unknown')",
        attempt.id.0,
        why,
        i64::from(attempt.checks),
        now + pause,
        now,
    )
    .execute(tx)
    .await?;
    Ok(postponed.rows_affected() == 1)
}
