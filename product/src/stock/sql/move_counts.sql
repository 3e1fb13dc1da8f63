-- The counts and terms after a batch, for every product that had a row. A row that is not as the writer remembers it is
-- left alone, and the writer, who counts the rows, drops its memory.
UPDATE stock s
SET version = d.version, price_version = d.price_version, purchase_limit = d.purchase_limit, opens_at = d.opens_at,
    closes_at = d.closes_at, terms_by = d.terms_by, total = d.total, available = d.available, reserved = d.reserved,
    sold = d.sold, updated_at = $1
FROM UNNEST($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
            $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::integer[], $15::timestamptz[],
            $16::timestamptz[], $17::bigint[])
     AS d(product_id, total_was, available_was, reserved_was, sold_was, total, available, reserved, sold, version,
          price_version, purchase_limit, opens_at, closes_at, terms_by)
WHERE s.product_id = d.product_id AND s.partition = $2 AND s.total = d.total_was AND s.available = d.available_was
  AND s.reserved = d.reserved_was AND s.sold = d.sold_was
