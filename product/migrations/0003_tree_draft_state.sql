-- Categories become a tree that ADMIN keeps; products begin as drafts, know the zone of their window and the state
-- that was told of them; companies have versions.

ALTER TABLE category
    ADD COLUMN parent_code integer REFERENCES category,
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN created_by bigint NOT NULL DEFAULT 0,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN updated_by bigint NOT NULL DEFAULT 0,
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN deleted_by bigint,
    DROP CONSTRAINT category_category_name_key,
    ADD CONSTRAINT category_name_length CHECK (char_length(category_name) BETWEEN 1 AND 20);
ALTER TABLE category
    ALTER COLUMN created_at DROP DEFAULT,
    ALTER COLUMN created_by DROP DEFAULT,
    ALTER COLUMN updated_at DROP DEFAULT,
    ALTER COLUMN updated_by DROP DEFAULT;
CREATE UNIQUE INDEX category_name_once ON category (category_name) WHERE deleted_at IS NULL;
COMMENT ON COLUMN category.parent_code IS 'The category it belongs to; none at the top. Changes of the tree lock the table, so that no cycle can close.';
COMMENT ON COLUMN category.created_by IS '0 is the system: the seeded ones.';

ALTER TABLE company ADD COLUMN version bigint NOT NULL DEFAULT 1;
COMMENT ON COLUMN company.version IS 'Rises by one with every change: its ETag.';

ALTER TABLE product
    ADD COLUMN sale_zone text CHECK (char_length(sale_zone) <= 64),
    ADD COLUMN state text NOT NULL DEFAULT 'scheduled'
        CHECK (state IN ('draft', 'scheduled', 'onSale', 'soldOut', 'ended')),
    ADD COLUMN state_version bigint NOT NULL DEFAULT 1,
    ADD COLUMN turns_at timestamptz;
UPDATE product SET turns_at = sale_start_time WHERE deleted_at IS NULL;
ALTER TABLE product ALTER COLUMN state DROP DEFAULT;
COMMENT ON COLUMN product.sale_zone IS 'IANA zone in which its seller entered the window; the window itself is in UTC.';
COMMENT ON COLUMN product.state IS 'The state told last on product.events.v1. What is shown is computed from clock and stock.';
COMMENT ON COLUMN product.state_version IS 'Rises by one with every state that is told.';
COMMENT ON COLUMN product.turns_at IS 'When the clock will change the state; none for drafts, ended and withdrawn ones.';
CREATE INDEX product_by_turn ON product (turns_at) WHERE turns_at IS NOT NULL;

CREATE TABLE stock_turn (
    product_id bigint NOT NULL
);
COMMENT ON TABLE stock_turn IS 'Sales whose last available unit went or came back: written with the batch that did it, removed with the state that is told.';
