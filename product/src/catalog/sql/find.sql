-- Products with their companies and what is available of them; before the stock stage has heard of one, that is what it
-- was registered with.
SELECT p.product_id, p.company_id, c.company_name, c.user_id AS seller_id, p.category_code, p.product_name,
       p.description, p.original_price, p.discounted_price, p.initial_stock,
       COALESCE(s.available, p.initial_stock) AS "available!", p.sale_start_time, p.sale_end_time, p.purchase_limit,
       p.images, p.queue AS "queue: Json<QueuePolicy>", p.version, p.price_version,
       p.sale_zone, p.state, p.state_version, p.created_at, p.updated_at,
       p.updated_by, p.deleted_at
FROM product p
JOIN company c USING (company_id)
LEFT JOIN stock s USING (product_id)
WHERE p.product_id = ANY($1)
