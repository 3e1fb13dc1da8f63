-- What a seller sees of own sales.

CREATE TABLE room_figure (
    product_id bigint PRIMARY KEY,
    last_ms    bigint NOT NULL,
    last_n     bigint NOT NULL,
    joined     bigint NOT NULL,
    let_in     bigint NOT NULL,
    ordered    bigint NOT NULL
);
COMMENT ON TABLE room_figure IS 'People of each waiting room, counted from queue.events.v1.';
COMMENT ON COLUMN room_figure.last_ms IS 'The last step counted is last_ms-last_n of the room''s stream: a record that comes again counts nothing.';
COMMENT ON COLUMN room_figure.joined IS 'Tickets made.';
COMMENT ON COLUMN room_figure.let_in IS 'Admissions that began.';
COMMENT ON COLUMN room_figure.ordered IS 'Of these, admissions that ended with an order that holds its units.';

CREATE INDEX company_of_user ON company (user_id) WHERE deleted_at IS NULL;
CREATE INDEX product_of_seller ON product (company_id, product_id) WHERE deleted_at IS NULL;
