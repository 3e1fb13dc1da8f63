-- The events of a transaction stand in one row. Each event was a row, with an entry of the index, and its headers were
-- taken apart and put together again.

ALTER TABLE outbox RENAME COLUMN topic TO topics;
ALTER TABLE outbox RENAME COLUMN key TO keys;
ALTER TABLE outbox RENAME COLUMN payload TO bodies;
ALTER TABLE outbox
    ALTER COLUMN topics TYPE text[] USING ARRAY[topics],
    ALTER COLUMN keys TYPE text[] USING ARRAY[keys],
    ALTER COLUMN headers TYPE text[] USING ARRAY[headers::text],
    ALTER COLUMN bodies TYPE bytea[] USING ARRAY[bodies];
-- The rows live for some milliseconds: compressing them costs more than writing them.
ALTER TABLE outbox
    ALTER COLUMN topics SET STORAGE EXTERNAL,
    ALTER COLUMN keys SET STORAGE EXTERNAL,
    ALTER COLUMN headers SET STORAGE EXTERNAL,
    ALTER COLUMN bodies SET STORAGE EXTERNAL,
    ADD COLUMN records integer NOT NULL GENERATED ALWAYS AS (cardinality(keys)) STORED,
    ADD CONSTRAINT outbox_whole CHECK (cardinality(topics) = cardinality(keys)
        AND cardinality(headers) = cardinality(keys) AND cardinality(bodies) = cardinality(keys));
COMMENT ON TABLE outbox IS 'Events on their way to the log, event by event in arrays of equal length.';
COMMENT ON COLUMN outbox.topics IS 'Without the prefix of the deployment.';
COMMENT ON COLUMN outbox.headers IS 'JSON objects of texts.';
