//! The table `account`.

use common::pg::OnConstraint as _;
use common::wire::Time;
use common::wire::id::UserId;
use common::wire::token::Role;
use common::wire::user::{AccountChange, UserView};
use sqlx::{PgConnection, PgPool};

use super::{Account, NewAccount};
use crate::error::Error;

/// What a login is checked against.
pub(crate) struct Credentials {
    pub(crate) user_id: UserId,
    pub(crate) password_hash: String,
    /// Names the password among the account's.
    pub(crate) password_changed_at: Time,
}

/// Which accounts, and which page of them.
pub(super) struct Filter<'a> {
    /// A part of login id, name or nickname.
    pub(super) search: Option<&'a str>,
    pub(super) role: Option<Role>,
    pub(super) with_deleted: bool,
    /// One of [`SORTS`](super::admin::SORTS).
    pub(super) sort: &'a str,
    pub(super) limit: i64,
    pub(super) offset: i64,
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

/// An account, deleted or not.
pub(crate) async fn find(pg: &PgPool, user: UserId) -> Result<Option<Account>, Error> {
    let account = sqlx::query_file_as!(Account, "src/account/sql/find.sql", user.0);
    Ok(account.fetch_optional(pg).await?)
}

/// Changes an account that was not deleted, and says whether its role is another one now.
pub(super) async fn update(
    tx: &mut PgConnection,
    user: UserId,
    change: &AccountChange,
    (by, now): (UserId, Time),
) -> Result<Option<Account>, Error> {
    let account = sqlx::query_file_as!(
        Account,
        "src/account/sql/update.sql",
        user.0,
        change.username,
        change.nickname,
        change.phone_number,
        change.shipping_address,
        change.role as Option<Role>,
        now,
        by.to_string(),
    );
    Ok(account.fetch_optional(tx).await?)
}

/// Marks an account as deleted; false where it was before, or there is none.
pub(super) async fn delete(
    tx: &mut PgConnection,
    user: UserId,
    (by, now): (UserId, Time),
) -> Result<bool, Error> {
    let deleted = sqlx::query!(
        "WITH deleted AS (
             UPDATE account SET deleted_at = $2, deleted_by = $3, version = version + 1
             WHERE user_id = $1 AND deleted_at IS NULL RETURNING user_id
         )
         INSERT INTO change (user_id, changed_at) SELECT user_id, $2 FROM deleted",
        user.0,
        now,
        by.to_string(),
    );
    Ok(deleted.execute(tx).await?.rows_affected() > 0)
}

/// Whether there is no other ADMIN. Holds all of them until the transaction ends, so that two of the last cannot go at
/// the same moment.
pub(super) async fn is_last_admin(tx: &mut PgConnection, user: UserId) -> Result<bool, Error> {
    let admins = sqlx::query_scalar!(
        r#"SELECT user_id AS "user_id: UserId" FROM account
           WHERE role = 'ADMIN' AND deleted_at IS NULL ORDER BY user_id FOR UPDATE"#
    );
    Ok(admins.fetch_all(tx).await? == [user])
}

/// One page of the accounts that match, and how many do.
pub(super) async fn page(pg: &PgPool, filter: &Filter<'_>) -> Result<(Vec<Account>, i64), Error> {
    let pattern = filter
        .search
        .map(|text| format!("%{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")));
    let (role, with_deleted) = (filter.role, filter.with_deleted);
    let items = sqlx::query_file_as!(
        Account,
        "src/account/sql/page.sql",
        pattern,
        role as Option<Role>,
        with_deleted,
        filter.sort,
        filter.limit,
        filter.offset,
    );
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM account
           WHERE ($1::text IS NULL OR login_id ILIKE $1 OR username ILIKE $1 OR nickname ILIKE $1)
             AND ($2::text IS NULL OR role = $2) AND ($3 OR deleted_at IS NULL)"#,
        pattern,
        role as Option<Role>,
        with_deleted,
    );
    Ok((items.fetch_all(pg).await?, total.fetch_one(pg).await?))
}

/// Takes what says whose they were out of at most `most` accounts that were deleted until `before`; how many it were.
pub(crate) async fn anonymise(pg: &PgPool, before: Time, now: Time, most: i64) -> Result<u64, Error> {
    let done = sqlx::query!(
        "UPDATE account SET username = 'deleted', nickname = 'deleted', phone_number = '', shipping_address = '',
                            password_hash = $4, anonymised_at = $2
         WHERE user_id IN (
             SELECT user_id FROM account WHERE deleted_at <= $1 AND anonymised_at IS NULL LIMIT $3)",
        before,
        now,
        most,
        super::password::UNUSABLE,
    );
    Ok(done.execute(pg).await?.rows_affected())
}

/// What the owner of an account that was not deleted proves to be it by.
pub(crate) async fn credentials(pg: &PgPool, user: UserId) -> Result<Option<Credentials>, Error> {
    let credentials = sqlx::query_as!(
        Credentials,
        r#"SELECT user_id AS "user_id: UserId", password_hash, password_changed_at
           FROM account WHERE user_id = $1 AND deleted_at IS NULL"#,
        user.0,
    );
    Ok(credentials.fetch_optional(pg).await?)
}

/// Keeps a password under a newer hash, unless it has changed meanwhile.
pub(crate) async fn rehash(pg: &PgPool, known: &Credentials, hash: &str) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE account SET password_hash = $3 WHERE user_id = $1 AND password_changed_at = $2",
        known.user_id.0,
        known.password_changed_at,
        hash,
    )
    .execute(pg)
    .await?;
    Ok(())
}

/// The account of a login id, unless it was deleted, and its role.
pub(super) async fn by_login_id(pg: &PgPool, login_id: &str) -> Result<Option<(UserId, Role)>, Error> {
    let account = sqlx::query!(
        r#"SELECT user_id AS "user_id: UserId", role AS "role: Role"
           FROM account WHERE login_id = $1 AND deleted_at IS NULL"#,
        login_id,
    );
    Ok(account.fetch_optional(pg).await?.map(|account| (account.user_id, account.role)))
}

/// Sets a new password's hash; false where the account has gone, or another password than that of `known`. The moment of
/// the change names the password, and so is always a later one.
pub(crate) async fn set_password(
    tx: &mut PgConnection,
    user: UserId,
    (known, hash): (Time, &str),
    now: Time,
) -> Result<bool, Error> {
    let set = sqlx::query!(
        "UPDATE account SET password_hash = $3, updated_at = $4, updated_by = user_id::text,
             password_changed_at = greatest($4, password_changed_at + interval '1 microsecond')
         WHERE user_id = $1 AND password_changed_at = $2 AND deleted_at IS NULL",
        user.0,
        known,
        hash,
        now,
    );
    Ok(set.execute(tx).await?.rows_affected() > 0)
}

/// Stores the load shoppers `s000001`, … that are not there yet, with ids after `base`.
pub(super) async fn insert_shoppers(pg: &PgPool, base: i64, count: i32, now: Time) -> Result<(), Error> {
    sqlx::query!(
        r#"INSERT INTO account (user_id, login_id, password_hash, username, nickname, phone_number,
                                shipping_address, role, created_at, created_by, updated_at, updated_by,
                                password_changed_at)
           SELECT $1::bigint + n, 's' || lpad(n::text, 6, '0'), $3, 'Load shopper', 'shopper ' || n, '000-0000-0000',
                  'Nowhere 1', 'CUSTOMER', $4, 'system', $4, 'system', $4
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
