-- Changes what is given of an account that was not deleted, and leaves word of it. $2 to $6: the new values, or NULL;
-- $7, $8: when and by whom.
WITH before AS (
    SELECT user_id, role FROM account WHERE user_id = $1 AND deleted_at IS NULL FOR UPDATE
), told AS (
    INSERT INTO change (user_id, of_role, changed_at) SELECT user_id, role <> coalesce($6, role), $7 FROM before
)
UPDATE account
SET username = coalesce($2, account.username), nickname = coalesce($3, account.nickname),
    phone_number = coalesce($4, account.phone_number), shipping_address = coalesce($5, account.shipping_address),
    role = coalesce($6, account.role), version = account.version + 1, updated_at = $7, updated_by = $8
FROM before WHERE account.user_id = before.user_id
RETURNING account.user_id AS "user_id: UserId", login_id, username, nickname, phone_number, shipping_address,
          account.role AS "role: Role", version, created_at, created_by, updated_at, updated_by, deleted_at, deleted_by
