-- Stores an account. Its id is drawn first, so that an account made by its owner can name it as its maker.
WITH drawn AS (SELECT nextval(pg_get_serial_sequence('account', 'user_id')) AS user_id)
INSERT INTO account (user_id, login_id, password_hash, username, nickname, phone_number, shipping_address, role,
                     created_at, created_by, updated_at, updated_by, password_changed_at)
SELECT user_id, $1, $2, $3, $4, $5, $6, $7, $8, coalesce($9::text, user_id::text), $8, coalesce($9::text, user_id::text), $8
FROM drawn
RETURNING user_id AS "user_id: UserId", login_id, username, nickname, phone_number, shipping_address,
          role AS "role: Role", created_at, updated_at
