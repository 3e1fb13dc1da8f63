INSERT INTO product_option (product_id, position, option_name, option_value, option_price,
                            created_at, created_by, updated_at, updated_by)
SELECT product_id, position, option_name, option_value, option_price, $2, $3, $2, $3
FROM jsonb_to_recordset($1) AS row(product_id bigint, position integer, option_name text, option_value text,
     option_price bigint)
ORDER BY product_id, position
