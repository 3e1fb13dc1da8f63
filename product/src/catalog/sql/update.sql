-- A new version of a product, which the caller has locked.
UPDATE product
SET category_code = $2, product_name = $3, description = $4, original_price = $5, discounted_price = $6,
    sale_start_time = $7, sale_end_time = $8, purchase_limit = $9, images = $10, queue = $11,
    version = version + 1, price_version = price_version + $12, updated_at = $13, updated_by = $14,
    sale_zone = $15, state = $16, state_version = GREATEST(state_version + (state <> $16)::integer, 1), turns_at = $17,
    initial_stock = COALESCE($18, initial_stock)
WHERE product_id = $1
