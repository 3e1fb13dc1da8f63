-- A hint that comes while an earlier one is followed is followed too.
ALTER TABLE payment_attempt ADD COLUMN hints integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN payment_attempt.hints IS 'How often the provider said that something happened to it.';
