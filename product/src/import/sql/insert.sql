-- Rows of a batch as products that nobody was told of yet. One whose external id the company has already is left out,
-- also where the batch itself names it twice.
INSERT INTO product (company_id, category_code, product_name, description, original_price, discounted_price,
                     initial_stock, sale_start_time, sale_end_time, purchase_limit, images, queue,
                     version, price_version, created_at, created_by, updated_at, updated_by, sale_zone, state,
                     state_version, external_id)
SELECT $2, category_code, product_name, description, original_price, discounted_price,
       initial_stock, sale_start_time, sale_end_time, purchase_limit, images, queue,
       1, 1, $3::timestamptz, $4, $3, $4, sale_zone, state,
       CASE state WHEN 'draft' THEN 1 ELSE 0 END, external_id
FROM jsonb_to_recordset($1) AS row(external_id text, category_code integer, product_name text, description text,
     original_price bigint, discounted_price bigint, initial_stock bigint, sale_start_time timestamptz,
     sale_end_time timestamptz, purchase_limit integer, images text[], queue jsonb, sale_zone text, state text)
ON CONFLICT (company_id, external_id) WHERE external_id IS NOT NULL DO NOTHING
RETURNING product_id, external_id AS "external_id!"
