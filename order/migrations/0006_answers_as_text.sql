-- An answer is stored as it was sent: nobody looks into it here, and taking JSON apart costs more than all else of the row.
ALTER TABLE idempotency ALTER COLUMN body TYPE text USING body::text;
COMMENT ON COLUMN idempotency.body IS 'JSON of the answer, as it was sent; none while the request runs.';
