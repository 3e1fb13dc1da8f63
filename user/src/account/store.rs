//! The table `account`.

use common::pg::OnConstraint as _;
use common::wire::Time;
use common::wire::id::UserId;
use common::wire::token::Role;
use common::wire::user::UserView;
use sqlx::PgPool;

use super::NewAccount;
use crate::error::Error;

/// What a login is checked against.
pub(crate) struct Credentials {
    pub(crate) user_id: UserId,
    pub(crate) password_hash: String,
    pub(crate) role: Role,
}

/// Stores an account; `by` made it, or else its owner.
pub(super) async fn insert(
    pg: &PgPool,
    account: &NewAccount,
    by: Option<&str>,
    now: Time,
) -> Result<UserView, Error> {
    sqlx::query_file_as!(
        UserView,
        "src/account/sql/insert.sql",
        account.login_id,
        account.password_hash,
        account.username,
        account.nickname,
        account.phone_number,
        account.shipping_address,
        account.role as Role,
        now,
        by,
    )
    .fetch_one(pg)
    .await
    .on_constraint("login_id_taken", || Error::LoginIdTaken)
}

/// An account that was not deleted, as its owner sees it.
pub(super) async fn view(pg: &PgPool, user: UserId) -> Result<Option<UserView>, Error> {
    let view = sqlx::query_as!(
        UserView,
        r#"SELECT user_id AS "user_id: UserId", login_id, username, nickname, phone_number, shipping_address,
                  role AS "role: Role", created_at, updated_at
           FROM account WHERE user_id = $1 AND deleted_at IS NULL"#,
        user.0,
    );
    Ok(view.fetch_optional(pg).await?)
}

/// What a login with this id is checked against, unless the account was deleted.
pub(crate) async fn credentials(pg: &PgPool, login_id: &str) -> Result<Option<Credentials>, Error> {
    let credentials = sqlx::query_as!(
        Credentials,
        r#"SELECT user_id AS "user_id: UserId", password_hash, role AS "role: Role"
           FROM account WHERE login_id = $1 AND deleted_at IS NULL"#,
        login_id,
    );
    Ok(credentials.fetch_optional(pg).await?)
}

/// Stores the load shoppers `s000001`, … that are not there yet, with ids after `base`.
pub(super) async fn insert_shoppers(pg: &PgPool, base: i64, count: i32, now: Time) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO account (user_id, login_id, password_hash, username, nickname, phone_number,
                                shipping_address, role, created_at, created_by, updated_at, updated_by)
           SELECT $1::bigint + n, 's' || lpad(n::text, 6, '0'), $3, 'Load shopper', 'shopper ' || n, '000-0000-0000',
                  'Nowhere 1', 'CUSTOMER', $4, 'system', $4, 'system'
           FROM generate_series(1, $2::int) AS n
           ON CONFLICT DO NOTHING"#,
        base,
        count,
        super::password::UNUSABLE,
        now,
    )
    .execute(pg)
    .await?;
    Ok(())
}

/// How many load shoppers have one of the first `count` ids after `base`.
pub(super) async fn count_shoppers(pg: &PgPool, base: i64, count: i64) -> Result<i64, Error> {
    let shoppers = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM account WHERE user_id > $1 AND user_id <= $1 + $2"#,
        base,
        count,
    );
    Ok(shoppers.fetch_one(pg).await?)
}
