-- The stock stage's journal. Only the writer of a partition changes these rows, in one transaction per batch with
-- its cursor. Nothing here refers to the catalogue: the stage knows what its log told it, and no more.

CREATE TABLE stock_cursor (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
COMMENT ON COLUMN stock_cursor.next_offset IS 'The first offset that is not decided. A writer moves it only from the value it knows; another writer''s move fences it.';

-- Half-filled pages: a batch's update of the counts finds room beside the old row and touches no index.
CREATE TABLE stock (
    product_id     bigint PRIMARY KEY,
    partition      integer NOT NULL,
    version        bigint NOT NULL,
    price_version  bigint NOT NULL,
    purchase_limit integer NOT NULL,
    opens_at       timestamptz NOT NULL,
    closes_at      timestamptz NOT NULL,
    total          bigint NOT NULL,
    available      bigint NOT NULL,
    reserved       bigint NOT NULL,
    sold           bigint NOT NULL,
    terms_by       bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CONSTRAINT stock_never_negative CHECK (available >= 0 AND reserved >= 0 AND sold >= 0),
    CONSTRAINT stock_conserved CHECK (available + reserved + sold = total),
    CONSTRAINT stock_limit CHECK (purchase_limit BETWEEN 1 AND 100)
) WITH (fillfactor = 50);
COMMENT ON COLUMN stock.partition IS 'Partition of stock.commands.v1 that carries the product: its writer loads these rows.';
COMMENT ON COLUMN stock.terms_by IS 'Who set the terms in force. Who moved units stands in reservation and stock_adjustment.';

CREATE TABLE reservation (
    order_id       uuid NOT NULL,
    product_id     bigint NOT NULL,
    attempt        integer NOT NULL,
    slot           smallint NOT NULL CHECK (slot BETWEEN 0 AND 99),
    user_id        bigint NOT NULL,
    state          text NOT NULL CHECK (state IN ('held', 'confirmed', 'released', 'restocked', 'barred')),
    command_offset bigint NOT NULL,
    reason         text,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (order_id, product_id, attempt, slot)
);
COMMENT ON TABLE reservation IS 'One row per unit. barred: the release came before the reserve, which is refused when it comes.';
COMMENT ON COLUMN reservation.slot IS 'Which of the shopper''s units of this product it is: no two live ones share a slot.';
COMMENT ON COLUMN reservation.command_offset IS 'The command that last changed it.';
COMMENT ON COLUMN reservation.reason IS 'Why it was settled, as the command said.';
CREATE UNIQUE INDEX reservation_one_per_slot ON reservation (product_id, user_id, slot)
    WHERE state IN ('held', 'confirmed');

CREATE TABLE stock_adjustment (
    product_id     bigint NOT NULL,
    adjustment_id  uuid NOT NULL,
    delta          bigint NOT NULL,
    refused        boolean NOT NULL,
    command_offset bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    created_by     bigint NOT NULL,
    PRIMARY KEY (product_id, adjustment_id)
);
COMMENT ON COLUMN stock_adjustment.refused IS 'It would have taken more units than were available; nothing changed.';

CREATE TABLE stock_ledger (
    ledger_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id      bigint NOT NULL,
    first_offset    bigint NOT NULL,
    last_offset     bigint NOT NULL,
    total_delta     bigint NOT NULL,
    available_delta bigint NOT NULL,
    reserved_delta  bigint NOT NULL,
    sold_delta      bigint NOT NULL,
    available_after bigint NOT NULL,
    created_at      timestamptz NOT NULL
);
COMMENT ON TABLE stock_ledger IS 'Append-only: one row per product and batch that moved units or refused an adjustment.';
CREATE INDEX stock_ledger_by_product ON stock_ledger (product_id, ledger_id);

CREATE TABLE dead_letter (
    topic         text NOT NULL,
    partition     integer NOT NULL,
    record_offset bigint NOT NULL,
    key           text NOT NULL,
    body          bytea NOT NULL,
    reason        text NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, record_offset)
);
COMMENT ON TABLE dead_letter IS 'Commands that could not be read or journalled; also sent to the topic''s .dlq.';
