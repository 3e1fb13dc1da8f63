-- Takes pictures ($2 at most) that were last wanted before $1 and that no product refers to, withdrawn ones included; also
-- those whose upload broke off. A row that somebody holds, because it is just being wanted, is looked at again later.
UPDATE image SET stored_at = NULL
WHERE image_key IN (
    SELECT image_key FROM image
    WHERE wanted_at < $1
      AND NOT EXISTS (SELECT FROM product WHERE product.images @> ARRAY[image.image_key])
    ORDER BY wanted_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
AND wanted_at < $1
RETURNING image_key
