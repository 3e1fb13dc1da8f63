-- Tells the next batch ($6 at most) of the announcement $1 of product $2: puts the notice into the boxes of those who had
-- subscribed by $4, in the order of their ids, after the mark $3; moves the mark. $5 is now.
WITH batch AS (
    SELECT user_id FROM subscription
    WHERE product_id = $2 AND user_id > $3 AND created_at <= $4
    ORDER BY user_id
    LIMIT $6
), told AS (
    INSERT INTO notice (user_id, event_key, body, created_at)
    SELECT user_id, event_key, body, $5
    FROM announcement, batch JOIN account USING (user_id)
    WHERE announcement_id = $1 AND account.deleted_at IS NULL
    ORDER BY user_id
    ON CONFLICT ON CONSTRAINT notice_once DO NOTHING
    RETURNING 1
), size AS (
    SELECT count(*) AS users, max(user_id) AS last FROM batch
)
UPDATE announcement
SET told_up_to = COALESCE(size.last, told_up_to), done_at = CASE WHEN size.users < $6 THEN $5 END
FROM size
WHERE announcement_id = $1
RETURNING (SELECT count(*) FROM told) AS "told!"
