-- Takes sales ($2 at most) that have begun by now ($1), and marks their start as told, beforehand too: who was not told in
-- time need not be.
WITH due AS (
    SELECT product_id FROM sale
    WHERE NOT withdrawn AND begun_told_for IS DISTINCT FROM starts_at AND starts_at <= $1
    ORDER BY starts_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE sale SET begun_told_for = starts_at, soon_told_for = starts_at
FROM due
WHERE sale.product_id = due.product_id
RETURNING sale.product_id, product_name, starts_at, ends_at
