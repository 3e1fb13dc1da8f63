-- Pictures. Their files are in the object store, under their keys.
CREATE TABLE image (
    image_key  text PRIMARY KEY,
    wanted_at  timestamptz NOT NULL,
    stored_at  timestamptz,
    created_at timestamptz NOT NULL,
    created_by bigint NOT NULL
);
COMMENT ON COLUMN image.image_key IS 'SHA-256 of what was uploaded, in hex.';
COMMENT ON COLUMN image.wanted_at IS 'When it was last uploaded, or a product last began or ceased to refer to it.';
COMMENT ON COLUMN image.stored_at IS 'Since when its files are there; a product can refer to it only then.';
CREATE INDEX image_by_want ON image (wanted_at);
CREATE INDEX product_by_image ON product USING gin (images);
