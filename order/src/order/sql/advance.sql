-- Writes transitions in one round trip: compare-and-swap on state and number, history, and the tickets that become
-- free again. Returns how many orders moved; the caller rolls back unless all did.
WITH step AS (
    SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
                         $7::text[], $8::text[], $10::boolean[])
         AS step (order_id, seq, state_before, state_after, reason, expires_at, cause, by, reviving)
), moved AS (
    UPDATE orders
    SET state = step.state_after, seq = step.seq, expires_at = step.expires_at, reviving = step.reviving,
        updated_at = $9, updated_by = step.by,
        -- Why money went back stays to be read after it has.
        reason = coalesce(step.reason, CASE WHEN step.state_after IN ('refunded', 'partiallyRefunded')
                                            THEN orders.reason END)
    FROM step
    WHERE orders.order_id = step.order_id AND orders.state = step.state_before AND orders.seq = step.seq - 1
    RETURNING 1
), logged AS (
    INSERT INTO order_transition (order_id, seq, "from", "to", cause, by, at)
    SELECT step.order_id, step.seq, step.state_before, step.state_after, step.cause, step.by, $9 FROM step
), freed AS (
    DELETE FROM order_ticket
    USING step JOIN orders USING (order_id) JOIN order_hold USING (order_id)
    WHERE step.state_after IN ('rejected', 'failed') AND order_ticket.order_id = step.order_id
      AND order_ticket.product_id = order_hold.product_id AND order_ticket.user_id = orders.user_id
      AND order_ticket.ticket = order_hold.ticket
)
SELECT count(*) AS "moved!" FROM moved
