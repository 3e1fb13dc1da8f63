-- Reservations made in a batch, as the batch leaves them: one row per unit.
INSERT INTO reservation (order_id, product_id, attempt, slot, user_id, state, reason, command_offset, created_at,
                         updated_at)
SELECT d.*, $1, $1
FROM UNNEST($2::uuid[], $3::bigint[], $4::integer[], $5::smallint[], $6::bigint[], $7::text[], $8::text[],
            $9::bigint[]) AS d
