-- Stores a login, unless its account has changed since it was checked: a change waits for the lock, or is seen through
-- it. $9: the change of password that the check knew; $10: logins that an account may have.
WITH account AS (
    SELECT user_id, role FROM account
    WHERE user_id = $2 AND deleted_at IS NULL AND password_changed_at = $9
    FOR SHARE
), surplus AS (
    DELETE FROM session WHERE session_id IN (
        SELECT session_id FROM session JOIN account USING (user_id) ORDER BY used_at DESC OFFSET $10::bigint - 1
    )
    RETURNING session_id
), told AS (
    INSERT INTO change (user_id, session_id, changed_at) SELECT $2, session_id, $7 FROM surplus
), made AS (
    INSERT INTO session (session_id, user_id, family_hash, token_hash, salt, user_agent, created_at, used_at, expires_at)
    SELECT $1, user_id, $3, $4, $5, $6, $7, $7, $8 FROM account
    RETURNING user_id
)
SELECT role AS "role: Role" FROM account JOIN made USING (user_id)
