-- A posting list per word instead of one per three letters: a search reads the lists of its words and no others.

-- What the words of a name, as search_words has them, are found by. Korean words are written together, so a Hangul word
-- is found from each of its syllables on: each begins with one of the nineteen initial letters, U+1100 to U+1112. The
-- letters in front of a model's number are found by themselves. PostgreSQL takes lexemes of up to 2,046 bytes.
CREATE FUNCTION search_lexemes(words text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    word text;
    lexemes text[] := '{}';
BEGIN
    FOREACH word IN ARRAY string_to_array(trim(words), ' ') LOOP
        lexemes := lexemes || left(word, 60) || left(substring(word FROM '^[^0-9]+'), 60);
        FOR n IN 2 .. char_length(word) LOOP
            CONTINUE WHEN ascii(substr(word, n, 1)) NOT BETWEEN 4352 AND 4370;
            lexemes := lexemes || substr(word, n, 60);
        END LOOP;
    END LOOP;
    RETURN array_to_tsvector(array_remove(array_remove(lexemes, NULL), ''));
END
$$;

DROP INDEX product_by_word;
ALTER TABLE product
    ADD COLUMN lexemes tsvector GENERATED ALWAYS AS (search_lexemes(search_words(product_name))) STORED,
    DROP COLUMN words;
COMMENT ON COLUMN product.lexemes IS 'What the words of its name are found by.';
-- The frequencies of 4,000 words: they tell a rare word, which is looked up, from a frequent one, which the walk along an
-- order meets soon.
ALTER TABLE product ALTER COLUMN lexemes SET STATISTICS 400;

-- Without a list of pending entries: a search would have to go through all of it.
CREATE INDEX product_by_word ON product USING gin (lexemes) WITH (fastupdate = off) WHERE listed;

-- The beginning of a word is looked up here; then the lists of whole words are read, which can skip, as that of a
-- beginning cannot.
INSERT INTO search_word (word)
SELECT DISTINCT one FROM product, unnest(tsvector_to_array(lexemes)) AS one WHERE one !~ '[0-9]'
ON CONFLICT DO NOTHING;
CREATE INDEX search_word_begins ON search_word (word text_pattern_ops);
COMMENT ON TABLE search_word IS 'Every lexeme without a digit that a product ever had: what a beginning may become, and a misspelled word may mean.';
