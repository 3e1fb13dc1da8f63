-- Failed logins by bucket: SHA-256 of what is counted together, and the moment at which nothing is left of its
-- failures. A brake and no record: it may be lost when the server crashes.
CREATE UNLOGGED TABLE login_failure (
    bucket     bytea       PRIMARY KEY,
    clear_at   timestamptz NOT NULL
);
CREATE INDEX login_failure_by_end ON login_failure (clear_at);

-- Where an account has logged in: SHA-256 of an address or of a browser's device cookie. Failures elsewhere do not keep
-- it out there.
CREATE TABLE familiar (
    user_id    bigint      NOT NULL REFERENCES account,
    origin     bytea       NOT NULL,
    since      timestamptz NOT NULL,
    PRIMARY KEY (user_id, origin)
);
CREATE INDEX familiar_by_age ON familiar (since);
