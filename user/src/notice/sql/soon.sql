-- Takes sales ($3 at most) that begin after now ($1) and until $2, and marks their start as told.
WITH due AS (
    SELECT product_id FROM sale
    WHERE NOT withdrawn AND soon_told_for IS DISTINCT FROM starts_at AND starts_at > $1 AND starts_at <= $2
    ORDER BY starts_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
UPDATE sale SET soon_told_for = starts_at
FROM due
WHERE sale.product_id = due.product_id
RETURNING sale.product_id, product_name, starts_at
