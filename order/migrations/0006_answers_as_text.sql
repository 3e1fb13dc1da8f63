-- An answer is stored as it was sent: nobody looks into it here, so it need not be taken apart.
-- `body` is the answer as earlier versions stored it.
ALTER TABLE idempotency ADD COLUMN answer text;
COMMENT ON COLUMN idempotency.answer IS 'JSON of the answer, as it was sent; none while the request runs.';
