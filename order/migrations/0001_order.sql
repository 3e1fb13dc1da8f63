-- Orders, what they hold, how they are paid; the outbox; the copy of the products.

CREATE TABLE product_copy (
    product_id bigint      PRIMARY KEY,
    version    bigint      NOT NULL,
    snapshot   jsonb       NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE product_copy IS 'The newest known record of product.events.v1 per product.';

-- The plural, because ORDER is a reserved word.
CREATE TABLE orders (
    order_id         uuid        PRIMARY KEY,
    user_id          bigint      NOT NULL,
    state            text        NOT NULL CHECK (state IN (
        'received', 'reserved', 'rejected', 'paying', 'paid', 'expired', 'cancelled', 'failed',
        'refundPending', 'refunded', 'partiallyRefunded')),
    seq              bigint      NOT NULL CHECK (seq > 0),
    total_price      bigint      NOT NULL CHECK (total_price >= 0),
    shipping_address text,
    memo             text,
    reason           text,
    expires_at       timestamptz,
    resends          integer     NOT NULL DEFAULT 0,
    resend_at        timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    created_by       text        NOT NULL,
    updated_at       timestamptz NOT NULL,
    updated_by       text        NOT NULL,
    CONSTRAINT order_reserved_ends CHECK (state NOT IN ('reserved', 'paying') OR expires_at IS NOT NULL)
);
COMMENT ON COLUMN orders.seq IS 'Number of the last transition; every transition raises it by one.';
COMMENT ON COLUMN orders.total_price IS 'Won.';
COMMENT ON COLUMN orders.expires_at IS 'Until when the held units can be paid; set when the stock says yes.';
COMMENT ON COLUMN orders.resend_at IS 'When a received order asks the stock again.';
COMMENT ON COLUMN orders.updated_by IS 'A user id, or ''system''.';
CREATE INDEX orders_of_user ON orders (user_id, order_id DESC);
CREATE INDEX orders_to_expire ON orders (expires_at) WHERE state = 'reserved';
CREATE INDEX orders_to_resend ON orders (resend_at) WHERE state = 'received';

CREATE TABLE order_line (
    order_id     uuid    NOT NULL REFERENCES orders,
    line         integer NOT NULL,
    product_id   bigint  NOT NULL,
    product_name text    NOT NULL,
    option_id    bigint,
    quantity     integer NOT NULL CHECK (quantity > 0),
    unit_price   bigint  NOT NULL CHECK (unit_price >= 0),
    PRIMARY KEY (order_id, line)
);
COMMENT ON COLUMN order_line.unit_price IS 'Won, option included, as of the order.';

CREATE TABLE order_hold (
    order_id      uuid    NOT NULL REFERENCES orders,
    product_id    bigint  NOT NULL,
    quantity      integer NOT NULL CHECK (quantity > 0),
    ticket        bigint  NOT NULL,
    price_version bigint  NOT NULL,
    attempt       integer NOT NULL DEFAULT 1,
    held          boolean NOT NULL DEFAULT false,
    PRIMARY KEY (order_id, product_id)
);
COMMENT ON TABLE order_hold IS 'What one order asks of one product''s stock: its lines, summed.';
COMMENT ON COLUMN order_hold.attempt IS 'The reserve that was sent; decisions about another one are not for this order.';
COMMENT ON COLUMN order_hold.held IS 'The stock said yes to that attempt.';

CREATE TABLE order_ticket (
    product_id bigint NOT NULL,
    user_id    bigint NOT NULL,
    ticket     bigint NOT NULL,
    order_id   uuid   NOT NULL REFERENCES orders,
    CONSTRAINT order_ticket_used PRIMARY KEY (product_id, user_id, ticket)
);
COMMENT ON TABLE order_ticket IS 'Tickets that are used up. A row goes only when its order is rejected or failed.';
CREATE INDEX order_ticket_of_order ON order_ticket (order_id);

CREATE TABLE order_transition (
    order_id uuid        NOT NULL REFERENCES orders,
    seq      bigint      NOT NULL,
    "from"   text,
    "to"     text        NOT NULL,
    cause    text        NOT NULL,
    by       text        NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (order_id, seq)
);

CREATE TABLE payment_attempt (
    payment_id      uuid        PRIMARY KEY,
    order_id        uuid        NOT NULL REFERENCES orders,
    number          integer     NOT NULL,
    provider        text        NOT NULL,
    provider_ref    text        NOT NULL,
    idempotency_key text        NOT NULL UNIQUE,
    amount          bigint      NOT NULL CHECK (amount >= 0),
    state           text        NOT NULL CHECK (state IN ('sent', 'unknown', 'approved', 'declined')),
    user_id         bigint      NOT NULL,
    user_key        text        NOT NULL,
    code            text,
    raw             jsonb,
    checks          integer     NOT NULL DEFAULT 0,
    next_check_at   timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT payment_number UNIQUE (order_id, number),
    CONSTRAINT payment_key_used UNIQUE (provider, provider_ref)
);
COMMENT ON COLUMN payment_attempt.state IS '''sent'' is written before the call: it may have reached the provider.';
COMMENT ON COLUMN payment_attempt.user_key IS 'The buyer''s Idempotency-Key, whose stored answer the outcome becomes.';
COMMENT ON COLUMN payment_attempt.raw IS 'The provider''s last answer, as it came.';
COMMENT ON COLUMN payment_attempt.next_check_at IS 'When the resolver asks the provider; moved forward while somebody does.';
CREATE UNIQUE INDEX payment_one_per_order ON payment_attempt (order_id) WHERE state <> 'declined';
CREATE INDEX payment_to_check ON payment_attempt (next_check_at) WHERE state IN ('sent', 'unknown');

CREATE TABLE idempotency (
    user_id     bigint      NOT NULL,
    route       text        NOT NULL,
    key         text        NOT NULL,
    fingerprint bytea       NOT NULL,
    status      integer,
    body        jsonb,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, route, key)
);
COMMENT ON COLUMN idempotency.fingerprint IS 'SHA-256 of the canonical body.';
COMMENT ON COLUMN idempotency.status IS 'HTTP status of the answer; none while the request runs.';
CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE outbox (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic      text        NOT NULL,
    key        text        NOT NULL,
    headers    jsonb       NOT NULL,
    payload    bytea       NOT NULL,
    created_at timestamptz NOT NULL
);
