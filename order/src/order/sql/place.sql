-- Writes new orders in one round trip: the orders, their lines, what they ask of the stock, and the first row of each
-- history. Their keys and tickets were taken before, by claim.sql.
WITH placed AS (
    INSERT INTO orders (order_id, user_id, state, seq, total_price, shipping_address, memo, resend_at,
                        created_at, created_by, updated_at, updated_by)
    SELECT id, buyer, 'received', 1, total, address, memo, at + $7 * interval '1 second',
           at, buyer::text, at, buyer::text
    FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[])
         AS wanted (id, buyer, total, address, memo, at)
), lines AS (
    INSERT INTO order_line (order_id, line, product_id, product_name, option_id, quantity, unit_price)
    SELECT * FROM UNNEST($8::uuid[], $9::integer[], $10::bigint[], $11::text[], $12::bigint[], $13::integer[],
                         $14::bigint[])
), holds AS (
    INSERT INTO order_hold (order_id, product_id, quantity, ticket, price_version, attempt)
    SELECT *, $20::integer
    FROM UNNEST($15::uuid[], $16::bigint[], $17::integer[], $18::bigint[], $19::bigint[])
)
INSERT INTO order_transition (order_id, seq, "from", "to", cause, by, at)
SELECT id, 1, NULL, 'received', 'placed', buyer::text, at
FROM UNNEST($1::uuid[], $2::bigint[], $6::timestamptz[]) AS wanted (id, buyer, at)
