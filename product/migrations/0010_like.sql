-- Likes. Redis counts them; the rows are written behind, and are what is left when Redis has lost its memory.
CREATE TABLE product_like (
    product_id bigint NOT NULL REFERENCES product,
    user_id    bigint NOT NULL,
    PRIMARY KEY (product_id, user_id)
);
COMMENT ON TABLE product_like IS 'Who likes what. product.likes is the number of rows, changed in the same statement.';
