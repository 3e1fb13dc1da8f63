-- Bulk import: rows wait in batches; a batch becomes products in one transaction, or goes on waiting.

ALTER TABLE product ADD COLUMN external_id text CHECK (char_length(external_id) BETWEEN 1 AND 100);
COMMENT ON COLUMN product.external_id IS 'What its seller calls it, where it was imported: a row that comes again is known.';
CREATE UNIQUE INDEX product_external ON product (company_id, external_id) WHERE external_id IS NOT NULL;
COMMENT ON COLUMN product.state_version IS 'Rises by one with every state that is told; 0 while the product itself was not told yet.';

CREATE TABLE import (
    import_id    uuid PRIMARY KEY,
    company_id   bigint NOT NULL REFERENCES company,
    more         boolean NOT NULL,
    read         bigint NOT NULL,
    stored       bigint NOT NULL DEFAULT 0,
    known        bigint NOT NULL DEFAULT 0,
    rejected     bigint NOT NULL DEFAULT 0,
    batches_left integer NOT NULL,
    failure      text,
    created_at   timestamptz NOT NULL,
    created_by   bigint NOT NULL,
    updated_at   timestamptz NOT NULL,
    updated_by   bigint NOT NULL,
    finished_at  timestamptz
);
COMMENT ON COLUMN import.more IS 'Pages are still to come.';
COMMENT ON COLUMN import.read IS 'Rows that were read. Each is waiting, or counted as stored, known or rejected.';
COMMENT ON COLUMN import.failure IS 'Why no further page came.';

CREATE TABLE import_page (
    import_id uuid PRIMARY KEY REFERENCES import,
    url       text NOT NULL
);
COMMENT ON TABLE import_page IS 'The page to fetch next. Whoever fetches it holds the row, and not the import''s: batches go on.';

CREATE TABLE import_batch (
    import_id uuid NOT NULL REFERENCES import,
    first_row bigint NOT NULL,
    items     bytea NOT NULL,
    PRIMARY KEY (import_id, first_row)
);
COMMENT ON TABLE import_batch IS 'Rows that wait; removed with the transaction that has dealt with them.';
COMMENT ON COLUMN import_batch.items IS 'A JSON array of objects, as the fields of a product with externalId.';

CREATE TABLE import_rejection (
    import_id   uuid NOT NULL REFERENCES import,
    row_number  bigint NOT NULL,
    external_id text,
    errors      jsonb NOT NULL,
    PRIMARY KEY (import_id, row_number)
);
