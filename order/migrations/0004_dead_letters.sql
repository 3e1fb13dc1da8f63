-- Records of other topics than the stock's commands that nobody could use, collected from the .dlq topics.

CREATE TABLE dead_letter (
    letter_id     uuid        PRIMARY KEY,
    topic         text        NOT NULL,
    partition     integer     NOT NULL,
    record_offset bigint      NOT NULL,
    key           text        NOT NULL,
    body          bytea       NOT NULL,
    reason        text        NOT NULL,
    created_at    timestamptz NOT NULL,
    redriven_at   timestamptz,
    redriven_by   text,
    CONSTRAINT dead_letter_once UNIQUE (topic, partition, record_offset),
    CONSTRAINT dead_letter_redriven_whole CHECK ((redriven_at IS NULL) = (redriven_by IS NULL))
);
COMMENT ON COLUMN dead_letter.topic IS 'Without the prefix of the deployment.';
COMMENT ON COLUMN dead_letter.redriven_by IS 'A user id, or the name given on the command line.';
CREATE INDEX dead_letter_open ON dead_letter (letter_id) WHERE redriven_at IS NULL;

CREATE TABLE dead_letter_cursor (
    topic       text   PRIMARY KEY,
    next_offset bigint NOT NULL
);
COMMENT ON TABLE dead_letter_cursor IS 'The first record of each .dlq topic, by its full name, that was not collected.';
