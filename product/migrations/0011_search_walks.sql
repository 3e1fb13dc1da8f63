-- What a search filters by stands in the indexes that it walks along: a product that the filter refuses costs no look at
-- its row, each of which lies on a page of its own.

DROP INDEX product_newest, product_updated, product_by_price, product_by_start, product_popular, product_by_word;
CREATE INDEX product_newest ON product
    (created_at, product_id, discounted_price, category_code, state, sale_start_time) WHERE listed;
CREATE INDEX product_updated ON product
    (updated_at, product_id, discounted_price, category_code, state, sale_start_time) WHERE listed;
CREATE INDEX product_by_price ON product
    (discounted_price, product_id, category_code, state, sale_start_time) WHERE listed;
CREATE INDEX product_by_start ON product
    (sale_start_time, product_id, discounted_price, category_code, state) WHERE listed;
CREATE INDEX product_popular ON product
    (likes, product_id, discounted_price, category_code, state, sale_start_time) WHERE listed;

-- The lists of words meet those of the category and of the state.
CREATE EXTENSION IF NOT EXISTS btree_gin;
CREATE INDEX product_by_word ON product USING gin (lexemes, category_code, state) WITH (fastupdate = off) WHERE listed;
