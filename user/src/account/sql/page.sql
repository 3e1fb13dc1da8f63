-- One page of accounts. $1: a pattern of login id, name or nickname, or NULL; $2: a role, or NULL; $3: whether deleted
-- ones too; $4: the order; $5, $6: how many, and after how many.
SELECT user_id AS "user_id: UserId", login_id, username, nickname, phone_number, shipping_address,
          role AS "role: Role", version, created_at, created_by, updated_at, updated_by, deleted_at, deleted_by
FROM account
WHERE ($1::text IS NULL OR login_id ILIKE $1 OR username ILIKE $1 OR nickname ILIKE $1)
  AND ($2::text IS NULL OR role = $2) AND ($3 OR deleted_at IS NULL)
ORDER BY CASE WHEN $4 = 'createdAt' THEN created_at END,
         CASE WHEN $4 = 'createdAt,desc' THEN created_at END DESC,
         CASE WHEN $4 = 'loginId' THEN login_id END,
         CASE WHEN $4 = 'loginId,desc' THEN login_id END DESC,
         user_id
LIMIT $5 OFFSET $6
