-- Companies, categories, products. Money is whole won. Rows that people make carry who made, changed and
-- withdrew them; nothing of that kind is ever deleted.

CREATE TABLE company (
    company_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id      bigint NOT NULL,
    company_name text NOT NULL CHECK (char_length(company_name) BETWEEN 1 AND 20),
    description  text NOT NULL CHECK (char_length(description) <= 1000),
    address      text NOT NULL CHECK (char_length(address) <= 255),
    created_at   timestamptz NOT NULL,
    created_by   bigint NOT NULL,
    updated_at   timestamptz NOT NULL,
    updated_by   bigint NOT NULL,
    deleted_at   timestamptz,
    deleted_by   bigint
);
COMMENT ON COLUMN company.user_id IS 'The owner: a SELLER or an ADMIN.';

CREATE TABLE category (
    category_code integer PRIMARY KEY,
    category_name text NOT NULL UNIQUE
);
INSERT INTO category (category_code, category_name)
VALUES (1000, 'food'), (2000, 'electronics'), (3000, 'clothing');

CREATE TABLE product (
    product_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id       bigint NOT NULL REFERENCES company,
    category_code    integer NOT NULL CONSTRAINT product_of_a_category REFERENCES category,
    product_name     text NOT NULL CHECK (char_length(product_name) BETWEEN 1 AND 50),
    description      text NOT NULL CHECK (char_length(description) <= 1000),
    original_price   bigint NOT NULL,
    discounted_price bigint NOT NULL,
    initial_stock    bigint NOT NULL CHECK (initial_stock >= 0),
    sale_start_time  timestamptz NOT NULL,
    sale_end_time    timestamptz NOT NULL,
    purchase_limit   integer NOT NULL CHECK (purchase_limit BETWEEN 1 AND 100),
    images           text[] NOT NULL,
    queue            jsonb NOT NULL,
    version          bigint NOT NULL,
    price_version    bigint NOT NULL,
    created_at       timestamptz NOT NULL,
    created_by       bigint NOT NULL,
    updated_at       timestamptz NOT NULL,
    updated_by       bigint NOT NULL,
    deleted_at       timestamptz,
    deleted_by       bigint,
    CONSTRAINT product_price CHECK (discounted_price BETWEEN 1 AND original_price),
    CONSTRAINT product_window CHECK (sale_start_time < sale_end_time)
);
COMMENT ON COLUMN product.initial_stock IS 'Units at registration. What is left stands in stock, which only the stock stage writes.';
COMMENT ON COLUMN product.queue IS 'How the waiting room lets people in: QueuePolicy as on the wire.';
COMMENT ON COLUMN product.version IS 'Rises by one with every change; orders the snapshots and the terms.';
COMMENT ON COLUMN product.price_version IS 'Rises by one with every change of a price; an order names the one it was calculated with.';
CREATE INDEX product_by_company ON product (company_id) WHERE deleted_at IS NULL;
CREATE INDEX product_by_category ON product (category_code) WHERE deleted_at IS NULL;

CREATE TABLE product_option (
    option_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id   bigint NOT NULL REFERENCES product,
    position     integer NOT NULL,
    option_name  text NOT NULL CHECK (char_length(option_name) BETWEEN 1 AND 20),
    option_value text NOT NULL CHECK (char_length(option_value) BETWEEN 1 AND 100),
    option_price bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    created_by   bigint NOT NULL,
    updated_at   timestamptz NOT NULL,
    updated_by   bigint NOT NULL,
    deleted_at   timestamptz,
    deleted_by   bigint
);
COMMENT ON COLUMN product_option.option_price IS 'Added to the discounted price; may be negative.';
CREATE INDEX product_option_by_product ON product_option (product_id) WHERE deleted_at IS NULL;

CREATE TABLE adjustment_request (
    product_id      bigint NOT NULL REFERENCES product,
    user_id         bigint NOT NULL,
    idempotency_key text NOT NULL,
    delta           bigint NOT NULL,
    adjustment_id   uuid NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (product_id, user_id, idempotency_key)
);
COMMENT ON TABLE adjustment_request IS 'Adjustments of stock asked for with an Idempotency-Key: a repeat gets the same adjustment.';

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic      text NOT NULL,
    key        text NOT NULL,
    headers    jsonb NOT NULL,
    payload    bytea NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON COLUMN outbox.topic IS 'Without the prefix of the deployment.';
