-- What people asked to be told, and what they were told.

-- As much of every product as notices need: a copy of `product.events.v1`.
CREATE TABLE sale (
    product_id     bigint      PRIMARY KEY,
    version        bigint      NOT NULL,
    product_name   text        NOT NULL,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    -- A draft counts as withdrawn: it is told to nobody.
    withdrawn      boolean     NOT NULL,
    -- The start of which subscribers were told, beforehand and when it came: a start that moved is told of again.
    soon_told_for  timestamptz,
    begun_told_for timestamptz
);
CREATE INDEX sale_soon ON sale (starts_at) WHERE NOT withdrawn AND soon_told_for IS DISTINCT FROM starts_at;
CREATE INDEX sale_begins ON sale (starts_at) WHERE NOT withdrawn AND begun_told_for IS DISTINCT FROM starts_at;

-- Products that were sold out at least once.
CREATE TABLE sold_out (
    product_id   bigint      PRIMARY KEY,
    -- `last` of the decision that made it so: older decisions change nothing.
    last         bigint      NOT NULL,
    is_sold_out  boolean     NOT NULL,
    -- When subscribers were last told that it is back.
    back_told_at timestamptz
);

CREATE TABLE subscription (
    product_id bigint      NOT NULL REFERENCES sale,
    user_id    bigint      NOT NULL REFERENCES account,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (product_id, user_id)
);
CREATE INDEX subscription_of_user ON subscription (user_id, product_id);

-- What all subscribers of a product are to be told: one row per event, told batch by batch in the order of user ids.
CREATE TABLE announcement (
    announcement_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_key       text        NOT NULL CONSTRAINT announcement_once UNIQUE,
    product_id      bigint      NOT NULL,
    body            jsonb       NOT NULL,
    created_at      timestamptz NOT NULL,
    -- The last user who was told.
    told_up_to      bigint      NOT NULL DEFAULT 0,
    done_at         timestamptz
);
CREATE INDEX announcement_open ON announcement (announcement_id) WHERE done_at IS NULL;

-- The boxes. Ids follow the order of commits: whoever writes here holds one lock, so that a reader who has seen an id
-- has seen all smaller ones.
CREATE TABLE notice (
    notice_id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint      NOT NULL,
    -- Names the event: 'begun:7:…', 'order:<id>:<seq>'.
    event_key  text        NOT NULL,
    body       jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT notice_once UNIQUE (user_id, event_key)
);
CREATE INDEX notice_of_user ON notice (user_id, notice_id);

-- Up to where each reader has read.
CREATE TABLE notice_mark (
    user_id    bigint PRIMARY KEY,
    read_up_to bigint NOT NULL
);
