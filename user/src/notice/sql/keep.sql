-- Keeps products (parallel arrays $1–$6) where they are newer than what is known; $7 is now. The start of a sale that has
-- begun before anybody could ask for it counts as told.
INSERT INTO sale AS known (product_id, version, product_name, starts_at, ends_at, withdrawn,
                           soon_told_for, begun_told_for)
SELECT p, v, n, s, e, w, CASE WHEN s <= $7 THEN s END, CASE WHEN s <= $7 THEN s END
FROM UNNEST($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::boolean[])
     AS new (p, v, n, s, e, w)
ORDER BY p
ON CONFLICT (product_id) DO UPDATE
SET version = EXCLUDED.version, product_name = EXCLUDED.product_name, starts_at = EXCLUDED.starts_at,
    ends_at = EXCLUDED.ends_at, withdrawn = EXCLUDED.withdrawn
WHERE known.version < EXCLUDED.version
