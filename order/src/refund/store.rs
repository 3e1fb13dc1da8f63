//! Rows of `refund`.

use common::wire::Time;
use common::wire::id::{OrderId, PaymentId, RefundId, UserId};
use common::wire::money::Won;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::{Asker, Paid, Refund};
use crate::payment::{rules, store::lease};

/// What was paid and went back of one payment.
///
/// # Errors
/// The database's.
pub async fn paid(tx: &mut PgConnection, payment: PaymentId) -> Result<Paid, sqlx::Error> {
    sqlx::query_as!(
        Paid,
        r#"SELECT payment_id AS "id: PaymentId", amount AS "amount: Won",
                  coalesce((SELECT sum(refund.amount)::bigint FROM refund
                            WHERE refund.payment_id = payment_attempt.payment_id AND refund.state = 'done'), 0)
                      AS "returned!: Won"
           FROM payment_attempt WHERE payment_id = $1"#,
        payment.0,
    )
    .fetch_one(tx)
    .await
}

/// The same of the payment that paid an order.
///
/// # Errors
/// The database's.
pub async fn paid_for(tx: &mut PgConnection, order: OrderId) -> Result<Option<Paid>, sqlx::Error> {
    let payment = sqlx::query_scalar!(
        r#"SELECT payment_id AS "id: PaymentId" FROM payment_attempt WHERE order_id = $1 AND state = 'approved'"#,
        order.0,
    )
    .fetch_optional(&mut *tx)
    .await?;
    match payment {
        Some(payment) => paid(tx, payment).await.map(Some),
        None => Ok(None),
    }
}

/// Stores a new refund as sent. One that somebody waits for is leased to the caller; what the service owes is due at
/// once.
///
/// # Errors
/// The database's; a violation of `refund_one_at_a_time`.
pub async fn insert(
    tx: &mut PgConnection,
    (paid, amount): (Paid, Won),
    (reason, asker): (&str, Option<Asker>),
    now: Time,
) -> Result<Refund, sqlx::Error> {
    let id = RefundId::new();
    let due = if asker.is_some() { now + lease() } else { now };
    let row = sqlx::query!(
        r#"WITH made AS (
               INSERT INTO refund (refund_id, payment_id, amount, left_after, reason, idempotency_key, state,
                                   user_id, user_route, user_key, next_check_at, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, 'sent', $7, $8, $9, $10, $11, $11))
           SELECT order_id AS "order: OrderId", provider_ref FROM payment_attempt WHERE payment_id = $2"#,
        id.0,
        paid.id.0,
        amount.0,
        paid.left().0 - amount.0,
        reason,
        format!("refund:{id}"),
        asker.as_ref().map(|asker| asker.user.0),
        asker.as_ref().map(|asker| &*asker.route),
        asker.as_ref().map(|asker| &*asker.key),
        due,
        now,
    )
    .fetch_one(tx)
    .await?;
    Ok(Refund {
        id,
        payment: paid.id,
        order: row.order,
        payment_key: row.provider_ref,
        idempotency_key: format!("refund:{id}"),
        amount,
        left_after: Won(paid.left().0 - amount.0),
        reason: reason.to_owned(),
        asker,
        checks: 0,
        created_at: now,
    })
}

/// Refunds whose outcome is unknown and whose time has come, leased to the caller: those the provider left open, those
/// of a process that died on the way, and those the service owes.
///
/// # Errors
/// The database's.
pub async fn claim_open(pool: &PgPool, now: Time, max: i64) -> Result<Vec<Refund>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"UPDATE refund SET next_check_at = $2
           FROM payment_attempt
           WHERE refund.payment_id = payment_attempt.payment_id AND refund.refund_id IN (
               SELECT refund_id FROM refund
               WHERE state IN ('sent', 'unknown') AND next_check_at <= $1
               ORDER BY next_check_at LIMIT $3 FOR UPDATE SKIP LOCKED)
           RETURNING refund.refund_id AS "id: RefundId", refund.payment_id AS "payment: PaymentId",
                     payment_attempt.order_id AS "order: OrderId", payment_attempt.provider_ref,
                     refund.idempotency_key, refund.amount AS "amount: Won", refund.left_after AS "left_after: Won",
                     refund.reason, refund.user_id AS "user: UserId", refund.user_route, refund.user_key,
                     refund.checks, refund.created_at"#,
        now,
        now + lease(),
        max,
    )
    .fetch_all(pool)
    .await?;
    let refund = rows.into_iter().map(|row| Refund {
        id: row.id,
        payment: row.payment,
        order: row.order,
        payment_key: row.provider_ref,
        idempotency_key: row.idempotency_key,
        amount: row.amount,
        left_after: row.left_after,
        reason: row.reason,
        asker: row.user.zip(row.user_route.zip(row.user_key)).map(|(user, (route, key))| Asker {
            user,
            route,
            key,
        }),
        checks: row.checks.unsigned_abs(),
        created_at: row.created_at,
    });
    Ok(refund.collect())
}

/// Ends an open refund as `done` or `refused`; false when somebody else has ended it. A payment all of whose money
/// went back is `cancelled`, unless it never paid an order.
///
/// # Errors
/// The database's.
pub async fn end(
    tx: &mut PgConnection,
    refund: &Refund,
    (state, code): (&str, Option<&str>),
    raw: Option<&Value>,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query!(
        "UPDATE refund SET state = $2, code = $3, raw = $4, updated_at = $5
         WHERE refund_id = $1 AND state IN ('sent', 'unknown')",
        refund.id.0,
        state,
        code,
        raw,
        now,
    )
    .execute(&mut *tx)
    .await?;
    if ended.rows_affected() == 1 && state == "done" && refund.left_after == Won(0) {
        sqlx::query!(
            "UPDATE payment_attempt SET state = 'cancelled', updated_at = $2
             WHERE payment_id = $1 AND state = 'approved'",
            refund.payment.0,
            now,
        )
        .execute(tx)
        .await?;
    }
    Ok(ended.rows_affected() == 1)
}

/// Leaves an open refund for the resolver; false when somebody else has ended it.
///
/// # Errors
/// The database's.
pub async fn postpone(
    tx: &mut PgConnection,
    refund: &Refund,
    why: &str,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let pause = chrono::Duration::from_std(rules::pause(refund.checks)).expect("five minutes fit");
    let postponed = sqlx::query!(
        "UPDATE refund
         SET state = 'unknown', code = $2, checks = $3::bigint::integer + 1, next_check_at = $4, updated_at = $5
         WHERE refund_id = $1 AND state IN ('sent', 'unknown')",
        refund.id.0,
        why,
        i64::from(refund.checks),
        now + pause,
        now,
    )
    .execute(tx)
    .await?;
    Ok(postponed.rows_affected() == 1)
}

/// Whether the refund's payment paid its order: false for money that came although no order waited for it.
///
/// # Errors
/// The database's.
pub async fn pays_order(tx: &mut PgConnection, refund: &Refund) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT state <> 'surplus' AS "pays!" FROM payment_attempt WHERE payment_id = $1"#,
        refund.payment.0,
    )
    .fetch_one(tx)
    .await
}

/// When the oldest refund was asked for that was neither made nor refused.
///
/// # Errors
/// The database's.
pub async fn oldest_open(pool: &PgPool) -> Result<Option<Time>, sqlx::Error> {
    sqlx::query_scalar!("SELECT min(created_at) FROM refund WHERE state IN ('sent', 'unknown')")
        .fetch_one(pool)
        .await
}
