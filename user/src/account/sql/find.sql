-- An account, deleted or not.
SELECT user_id AS "user_id: UserId", login_id, username, nickname, phone_number, shipping_address,
          role AS "role: Role", version, created_at, created_by, updated_at, updated_by, deleted_at, deleted_by
FROM account WHERE user_id = $1
