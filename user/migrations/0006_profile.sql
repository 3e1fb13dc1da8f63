-- Profiles that change, and accounts that end.
CREATE EXTENSION IF NOT EXISTS pg_trgm;

ALTER TABLE account
    -- Rises with every change of what a profile shows: of two copies, the one with the higher version is the newer.
    ADD COLUMN version       bigint      NOT NULL DEFAULT 1,
    -- When the texts of a deleted account were taken out. Its login id stays: it keeps the name from being given again.
    ADD COLUMN anonymised_at timestamptz;
CREATE INDEX account_admins ON account (user_id) WHERE role = 'ADMIN' AND deleted_at IS NULL;
CREATE INDEX account_to_anonymise ON account (deleted_at) WHERE deleted_at IS NOT NULL AND anonymised_at IS NULL;
CREATE INDEX account_search ON account
    USING gin (login_id gin_trgm_ops, username gin_trgm_ops, nickname gin_trgm_ops);
