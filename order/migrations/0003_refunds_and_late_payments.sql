-- Money that goes back, payments that turn out to be approved after their order has ended, and the provider's hints.

ALTER TABLE orders ADD COLUMN reviving boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN orders.reviving IS 'Paid too late: the stock is asked again; the order is ''paying'' until it answers.';
DROP INDEX orders_to_resend;
CREATE INDEX orders_to_resend ON orders (resend_at) WHERE state = 'received' OR reviving;

ALTER TABLE payment_attempt DROP CONSTRAINT payment_attempt_state_check;
ALTER TABLE payment_attempt ADD CONSTRAINT payment_attempt_state_check
    CHECK (state IN ('sent', 'unknown', 'approved', 'declined', 'surplus', 'cancelled'));
ALTER TABLE payment_attempt ADD COLUMN hinted boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN payment_attempt.state IS
    '''sent'' is written before the call: it may have reached the provider. ''surplus'': approved, but no order waits for it; its money goes back. ''cancelled'': all its money went back.';
COMMENT ON COLUMN payment_attempt.hinted IS 'The provider said that something happened to it, and was not asked yet.';
DROP INDEX payment_one_per_order;
CREATE UNIQUE INDEX payment_one_per_order ON payment_attempt (order_id)
    WHERE state NOT IN ('declined', 'surplus', 'cancelled');
DROP INDEX payment_to_check;
CREATE INDEX payment_to_check ON payment_attempt (next_check_at) WHERE state IN ('sent', 'unknown') OR hinted;

CREATE TABLE refund (
    refund_id       uuid        PRIMARY KEY,
    payment_id      uuid        NOT NULL REFERENCES payment_attempt,
    amount          bigint      NOT NULL CHECK (amount > 0),
    left_after      bigint      NOT NULL CHECK (left_after >= 0),
    reason          text        NOT NULL,
    idempotency_key text        NOT NULL UNIQUE,
    state           text        NOT NULL CHECK (state IN ('sent', 'unknown', 'done', 'refused')),
    user_id         bigint,
    user_route      text,
    user_key        text,
    code            text,
    raw             jsonb,
    checks          integer     NOT NULL DEFAULT 0,
    next_check_at   timestamptz NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT refund_asked_whole CHECK ((user_id IS NULL) = (user_route IS NULL) AND (user_id IS NULL) = (user_key IS NULL))
);
COMMENT ON TABLE refund IS 'Money of one payment on its way back to the buyer.';
COMMENT ON COLUMN refund.amount IS 'Won.';
COMMENT ON COLUMN refund.left_after IS 'Won of the payment that stay with the shop after it: how the provider''s record tells whether it happened.';
COMMENT ON COLUMN refund.state IS '''sent'' is written before the call: it may have reached the provider.';
COMMENT ON COLUMN refund.user_id IS 'Who asked for it; none where the service itself owes it. With route and key: whose stored answer the outcome becomes.';
CREATE UNIQUE INDEX refund_one_at_a_time ON refund (payment_id) WHERE state IN ('sent', 'unknown');
CREATE INDEX refund_of_payment ON refund (payment_id);
CREATE INDEX refund_to_check ON refund (next_check_at) WHERE state IN ('sent', 'unknown');

CREATE TABLE webhook_receipt (
    provider        text        NOT NULL,
    transmission_id text        NOT NULL,
    payment_id      uuid        NOT NULL,
    received_at     timestamptz NOT NULL,
    PRIMARY KEY (provider, transmission_id)
);
COMMENT ON TABLE webhook_receipt IS 'Hints of the providers that were taken: a repeat is not taken again.';
CREATE INDEX webhook_receipt_age ON webhook_receipt (received_at);
