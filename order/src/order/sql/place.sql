-- Writes new orders in one round trip: the orders, their lines, what they ask of the stock, and the first row of each
-- history; of those that end at once ($21 and on), the second too. Their keys and tickets were taken before, by claim.sql.
WITH wanted AS (
    SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[],
                         $21::text[], $22::bigint[], $23::text[], $24::text[], $25::text[])
         AS wanted (order_id, buyer, total, address, memo, at, ended, seq, reason, cause, by)
), placed AS (
    INSERT INTO orders (order_id, user_id, state, seq, total_price, shipping_address, memo, reason, resend_at,
                        created_at, created_by, updated_at, updated_by)
    SELECT order_id, buyer, coalesce(ended, 'received'), coalesce(seq, 1), total, address, memo, reason,
           at + $7 * interval '1 second', at, buyer::text, at, coalesce(by, buyer::text)
    FROM wanted
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
SELECT order_id, 1, NULL, 'received', 'placed', buyer::text, at FROM wanted
UNION ALL
SELECT order_id, seq, 'received', ended, cause, by, at FROM wanted WHERE ended IS NOT NULL
