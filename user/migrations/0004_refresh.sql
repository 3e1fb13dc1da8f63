-- Logins of before cannot be refreshed: nobody could, so nobody misses it. Their identity tokens live to their end.
DELETE FROM session;

-- A login that is refreshed. All refresh tokens of a login begin with the same 16 bytes, its family; the other 16 are
-- new with every use. So a token of any age is recognised as one of the family without a row for each.
ALTER TABLE session
    DROP COLUMN refresh_token_hash,
    -- SHA-256 of the family.
    ADD COLUMN family_hash   bytea       NOT NULL CONSTRAINT session_family_unique UNIQUE,
    -- SHA-256 of the token that is to be used next: whoever reads this table cannot use what it holds.
    ADD COLUMN token_hash    bytea       NOT NULL,
    -- SHA-256 of the token used last; it gives the same next token once more while an answer may have been lost.
    ADD COLUMN used_hash     bytea,
    -- Makes the next token out of the one used last, and of nothing else that is stored.
    ADD COLUMN salt          bytea       NOT NULL,
    -- Last login or refresh.
    ADD COLUMN used_at       timestamptz NOT NULL,
    -- What the client called itself, cut to 200 characters: helps its owner to tell the logins apart.
    ADD COLUMN user_agent    text        NOT NULL,
    ADD CONSTRAINT session_hashes_sha256 CHECK (
        octet_length(family_hash) = 32 AND octet_length(token_hash) = 32 AND octet_length(used_hash) = 32
    );
CREATE INDEX session_of_account ON session (user_id, used_at DESC);
CREATE INDEX session_by_end ON session (expires_at);

-- A login that was checked against an older password must not begin after the change.
ALTER TABLE account ADD COLUMN password_changed_at timestamptz;
UPDATE account SET password_changed_at = created_at;
ALTER TABLE account ALTER COLUMN password_changed_at SET NOT NULL;

-- What others must learn of, written in the transaction that causes it and told to Redis afterwards, as often as
-- needed. Kept until no identity token made before it can be alive.
CREATE TABLE change (
    change_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id      bigint      NOT NULL,
    -- The login that has ended; NULL where the account itself has changed.
    session_id   uuid,
    -- Whether the account's role has changed: tokens with the old one count no longer.
    of_role      boolean     NOT NULL DEFAULT false,
    changed_at   timestamptz NOT NULL,
    told         boolean     NOT NULL DEFAULT false
);
CREATE INDEX change_untold ON change (change_id) WHERE NOT told;
CREATE INDEX change_by_time ON change (changed_at);
