-- A login: what `sid` in an identity token names.
CREATE TABLE session (
    session_id         uuid        PRIMARY KEY,
    user_id            bigint      NOT NULL REFERENCES account,
    -- SHA-256 of the refresh token: whoever reads this table cannot use what it holds.
    refresh_token_hash bytea       NOT NULL CONSTRAINT session_refresh_token_unique UNIQUE,
    created_at         timestamptz NOT NULL,
    expires_at         timestamptz NOT NULL,
    CONSTRAINT session_refresh_token_sha256 CHECK (octet_length(refresh_token_hash) = 32)
);
