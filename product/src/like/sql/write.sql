-- Writes changes (parallel arrays: products $1, users $2, likes $3), and the counts by the rows that really came or went.
WITH change AS (
    SELECT p, u, l FROM UNNEST($1::bigint[], $2::bigint[], $3::boolean[]) AS c (p, u, l)
), came AS (
    INSERT INTO product_like (product_id, user_id)
    SELECT p, u FROM change JOIN product ON product_id = p WHERE l
    ON CONFLICT DO NOTHING
    RETURNING product_id, 1 AS n
), went AS (
    DELETE FROM product_like USING change
    WHERE product_id = p AND user_id = u AND NOT l
    RETURNING product_id, -1 AS n
), delta AS (
    SELECT product_id, sum(n) AS n FROM (SELECT * FROM came UNION ALL SELECT * FROM went) AS row GROUP BY product_id
)
UPDATE product SET likes = likes + delta.n
FROM delta
WHERE product.product_id = delta.product_id AND delta.n <> 0
