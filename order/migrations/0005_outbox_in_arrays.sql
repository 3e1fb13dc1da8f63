-- The events of a transaction stand in one row. Each event was a row, with an entry of the index, and its headers were
-- taken apart and put together again. Rows of both kinds are sent: those of a replica that is not yet of this version too.

ALTER TABLE outbox
    ALTER COLUMN topic DROP NOT NULL,
    ALTER COLUMN key DROP NOT NULL,
    ALTER COLUMN headers DROP NOT NULL,
    ALTER COLUMN payload DROP NOT NULL,
    ADD COLUMN topics text[],
    ADD COLUMN keys text[],
    ADD COLUMN header_sets text[],
    ADD COLUMN bodies bytea[];
-- The rows live for some milliseconds: they are not worth compressing.
ALTER TABLE outbox
    ALTER COLUMN topics SET STORAGE EXTERNAL,
    ALTER COLUMN keys SET STORAGE EXTERNAL,
    ALTER COLUMN header_sets SET STORAGE EXTERNAL,
    ALTER COLUMN bodies SET STORAGE EXTERNAL,
    ADD COLUMN records integer NOT NULL GENERATED ALWAYS AS (coalesce(cardinality(keys), 1)) STORED,
    ADD CONSTRAINT outbox_whole CHECK (CASE WHEN keys IS NULL
        THEN topic IS NOT NULL AND key IS NOT NULL AND headers IS NOT NULL AND payload IS NOT NULL
        ELSE coalesce(cardinality(topics), 0) = cardinality(keys)
            AND coalesce(cardinality(header_sets), 0) = cardinality(keys)
            AND coalesce(cardinality(bodies), 0) = cardinality(keys) END);
COMMENT ON TABLE outbox IS 'Events on their way to the log, event by event in arrays of equal length; one event in topic, key, headers and payload is the kind of earlier versions.';
COMMENT ON COLUMN outbox.topics IS 'Without the prefix of the deployment.';
COMMENT ON COLUMN outbox.header_sets IS 'A JSON object of texts per event.';
COMMENT ON COLUMN outbox.records IS 'How many events.';
