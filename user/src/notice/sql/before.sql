-- A user's notices ($1) with ids below $2, the newest first, $3 at most.
SELECT notice_id, created_at, body AS "body: Json<Notice>",
       notice_id <= COALESCE((SELECT read_up_to FROM notice_mark WHERE user_id = $1), 0) AS "read!"
FROM notice
WHERE user_id = $1 AND ($2::bigint IS NULL OR notice_id < $2)
ORDER BY notice_id DESC
LIMIT $3
