-- Dead letters can be looked at and sent again.

ALTER TABLE dead_letter DROP CONSTRAINT dead_letter_pkey;
-- Topics stand without the deployment's prefix, of which a database has one.
UPDATE dead_letter SET topic = 'stock.commands.v1';
ALTER TABLE dead_letter
    ADD COLUMN letter_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    ADD COLUMN redriven_at timestamptz,
    ADD COLUMN redriven_by text,
    ADD CONSTRAINT dead_letter_once UNIQUE (topic, partition, record_offset),
    ADD CONSTRAINT dead_letter_redriven_whole CHECK ((redriven_at IS NULL) = (redriven_by IS NULL));
ALTER TABLE dead_letter ALTER COLUMN letter_id DROP DEFAULT;
CREATE INDEX dead_letter_open ON dead_letter (letter_id) WHERE redriven_at IS NULL;
COMMENT ON COLUMN dead_letter.redriven_by IS 'A user id, or the name given on the command line.';
