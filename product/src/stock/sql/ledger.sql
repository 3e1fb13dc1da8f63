INSERT INTO stock_ledger (product_id, first_offset, last_offset, total_delta, available_delta, reserved_delta,
                          sold_delta, available_after, created_at)
SELECT d.*, $1
FROM UNNEST($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::bigint[]) AS d
