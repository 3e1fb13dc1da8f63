-- What a search reads. A search never reads a draft or a withdrawn product, so no index holds one.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- Words as they are searched: decomposed (a Hangul syllable becomes its letters, é becomes e), in lower case, without
-- marks, one blank before each. A prefix of a syllable is then a prefix of the word, as when it is being typed, and a
-- wrong letter of a syllable is one wrong letter, not a wrong word.
CREATE FUNCTION search_words(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT ' ' || trim(regexp_replace(
        regexp_replace(lower(normalize(name, NFKD)), '[\u0300-\u036f\u3099\u309a]', '', 'g'), '[^[:alnum:]]+', ' ', 'g'))
$$;

ALTER TABLE product
    ADD COLUMN likes bigint NOT NULL DEFAULT 0 CHECK (likes >= 0),
    ADD COLUMN words text GENERATED ALWAYS AS (search_words(product_name)) STORED,
    ADD COLUMN listed boolean GENERATED ALWAYS AS (deleted_at IS NULL AND state <> 'draft') STORED;
COMMENT ON COLUMN product.likes IS 'How many shoppers like it; written behind.';
COMMENT ON COLUMN product.words IS 'The words of its name, as searched.';
COMMENT ON COLUMN product.listed IS 'Whether everybody may find it.';
DROP INDEX product_by_category;

-- Without a list of pending entries: a search would have to go through all of it.
CREATE INDEX product_by_word ON product USING gin (words gin_trgm_ops) WITH (fastupdate = off) WHERE listed;
CREATE INDEX product_newest ON product (created_at, product_id) WHERE listed;
CREATE INDEX product_updated ON product (updated_at, product_id) WHERE listed;
CREATE INDEX product_by_price ON product (discounted_price, product_id) WHERE listed;
CREATE INDEX product_by_start ON product (sale_start_time, product_id) WHERE listed;
CREATE INDEX product_popular ON product (likes, product_id) WHERE listed;
CREATE INDEX product_by_state ON product (state, created_at, product_id) WHERE listed;
CREATE INDEX product_of_company ON product (company_id, created_at, product_id) WHERE listed;
CREATE INDEX product_of_category ON product (category_code, created_at, product_id) WHERE listed;

-- Planner's sample for words and prices: the default of 100 buckets does not tell rare words from frequent ones.
ALTER TABLE product ALTER COLUMN words SET STATISTICS 1000;

CREATE TABLE search_word (
    word text PRIMARY KEY
);
COMMENT ON TABLE search_word IS 'Every word that a product''s name ever had, of at least three letters and no digit: what a misspelled one may mean.';
CREATE INDEX search_word_alike ON search_word USING gin (word gin_trgm_ops);
