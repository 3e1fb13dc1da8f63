-- Takes, for many orders at once, what only one order may have: its idempotency key and its tickets. What somebody
-- else has is passed over: a row comes back for each key and each ticket that was free. Keys come first, and both in
-- one order, so that two of these wait for each other in one direction only. An order that does not use its tickets
-- up only looks whether they are free.
WITH keys AS (
    INSERT INTO idempotency (user_id, route, key, fingerprint, status, answer, created_at)
    SELECT * FROM UNNEST($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::integer[], $6::text[],
                         $7::timestamptz[])
         AS claim (user_id, route, key, fingerprint, status, answer, created_at)
    ORDER BY user_id, route, key
    ON CONFLICT DO NOTHING
    RETURNING user_id, key
), wanted AS (
    SELECT * FROM UNNEST($8::bigint[], $9::bigint[], $10::bigint[], $11::uuid[], $12::boolean[])
         AS wanted (product_id, user_id, ticket, order_id, uses)
), tickets AS (
    INSERT INTO order_ticket (product_id, user_id, ticket, order_id)
    SELECT product_id, user_id, ticket, order_id FROM wanted WHERE uses
    ORDER BY product_id, user_id, ticket
    ON CONFLICT DO NOTHING
    RETURNING order_id
)
SELECT user_id AS "user_id?", key AS "key?", NULL::uuid AS "order_id?" FROM keys
UNION ALL
SELECT NULL, NULL, order_id FROM tickets
UNION ALL
SELECT NULL, NULL, order_id FROM wanted
WHERE NOT uses AND NOT EXISTS (SELECT FROM order_ticket AS used WHERE used.product_id = wanted.product_id
                                 AND used.user_id = wanted.user_id AND used.ticket = wanted.ticket)
