-- Reservations of earlier batches in their new state: every unit of each.
UPDATE reservation r
SET state = d.state, reason = d.reason, command_offset = d.command_offset, updated_at = $1
FROM UNNEST($2::uuid[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::bigint[])
     AS d(order_id, product_id, attempt, state, reason, command_offset)
WHERE r.order_id = d.order_id AND r.product_id = d.product_id AND r.attempt = d.attempt
