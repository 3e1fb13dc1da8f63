INSERT INTO product (company_id, category_code, product_name, description, original_price, discounted_price,
                     initial_stock, sale_start_time, sale_end_time, purchase_limit, images, queue,
                     version, price_version, created_at, created_by, updated_at, updated_by, sale_zone, state, turns_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, 1, $13, $14, $13, $14, $15, $16, $17)
RETURNING product_id AS "product_id: ProductId"
