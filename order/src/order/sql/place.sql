-- Writes a new order in one round trip: the order, its lines, what it asks of the stock, the tickets it uses up and
-- the first row of its history. Violates order_ticket_used when a ticket has had its order.
WITH placed AS (
    INSERT INTO orders (order_id, user_id, state, seq, total_price, shipping_address, memo, resend_at,
                        created_at, created_by, updated_at, updated_by)
    VALUES ($1, $2, 'received', 1, $3, $4, $5, $6, $7, $2::bigint::text, $7, $2::bigint::text)
), lines AS (
    INSERT INTO order_line (order_id, line, product_id, product_name, option_id, quantity, unit_price)
    SELECT $1, line.n, line.product, line.name, line.option, line.quantity, line.price
    FROM UNNEST($8::bigint[], $9::text[], $10::bigint[], $11::integer[], $12::bigint[])
         WITH ORDINALITY AS line (product, name, option, quantity, price, n)
), holds AS (
    INSERT INTO order_hold (order_id, product_id, quantity, ticket, price_version, attempt)
    SELECT $1, hold.product, hold.quantity, hold.ticket, hold.version, $17
    FROM UNNEST($13::bigint[], $14::integer[], $15::bigint[], $16::bigint[])
         AS hold (product, quantity, ticket, version)
), tickets AS (
    INSERT INTO order_ticket (product_id, user_id, ticket, order_id)
    SELECT ticket.product, $2, ticket.number, $1
    FROM UNNEST($13::bigint[], $15::bigint[]) AS ticket (product, number)
    ORDER BY ticket.product
)
INSERT INTO order_transition (order_id, seq, "from", "to", cause, by, at)
VALUES ($1, 1, NULL, 'received', 'placed', $2::bigint::text, $7)
