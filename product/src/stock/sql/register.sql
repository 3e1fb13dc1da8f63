-- The rows of sales whose first terms came in a batch, as the batch leaves them.
INSERT INTO stock (product_id, partition, total, available, reserved, sold, version, price_version, purchase_limit,
                   opens_at, closes_at, terms_by, created_at, updated_at)
SELECT d.product_id, $2, d.total, d.available, d.reserved, d.sold, d.version, d.price_version, d.purchase_limit,
       d.opens_at, d.closes_at, d.terms_by, $1, $1
FROM UNNEST($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
            $10::integer[], $11::timestamptz[], $12::timestamptz[], $13::bigint[])
     AS d(product_id, total, available, reserved, sold, version, price_version, purchase_limit, opens_at, closes_at,
          terms_by)
