-- One page of the products for sale. The order is one of the documented names; equal ones come newest first.
SELECT p.product_id AS "product_id: ProductId", p.company_id AS "company_id: CompanyId", c.company_name,
       p.product_name, p.original_price AS "original_price: Won", p.discounted_price AS "discounted_price: Won",
       p.category_code, p.images, p.sale_start_time, p.sale_end_time,
       COALESCE(s.available, p.initial_stock) AS "available!"
FROM product p
JOIN company c USING (company_id)
LEFT JOIN stock s USING (product_id)
WHERE p.deleted_at IS NULL
  AND ($1::bigint IS NULL OR p.company_id = $1)
  AND ($2::integer IS NULL OR p.category_code = $2)
  AND ($3::text IS NULL OR strpos(lower(p.product_name), lower($3)) > 0)
ORDER BY CASE $4 WHEN 'createdAt' THEN p.created_at WHEN 'updatedAt' THEN p.updated_at
                 WHEN 'saleStartTime' THEN p.sale_start_time END ASC,
         CASE $4 WHEN 'createdAt,desc' THEN p.created_at WHEN 'updatedAt,desc' THEN p.updated_at
                 WHEN 'saleStartTime,desc' THEN p.sale_start_time END DESC,
         CASE $4 WHEN 'discountedPrice' THEN p.discounted_price END ASC,
         CASE $4 WHEN 'discountedPrice,desc' THEN p.discounted_price END DESC,
         p.product_id DESC
LIMIT $5 OFFSET $6
