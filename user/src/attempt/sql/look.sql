-- All that decides about an attempt, in one row, whether there is such an account or not.
-- $1: the login id; $2, $3: the browser and the address; $4 to $7: the buckets.
SELECT user_id AS "user_id?: UserId", password_hash AS "password_hash?", password_changed_at AS "password_changed_at?",
       coalesce($2 = ANY(known.origins), false) AS "knows_device!",
       coalesce($3 = ANY(known.origins), false) AS "knows_address!",
       (SELECT clear_at FROM login_failure WHERE bucket = $4) AS at_device,
       (SELECT clear_at FROM login_failure WHERE bucket = $5) AS at_address,
       (SELECT clear_at FROM login_failure WHERE bucket = $6) AS address,
       (SELECT clear_at FROM login_failure WHERE bucket = $7) AS account
FROM (SELECT) AS always
LEFT JOIN account ON login_id = $1 AND deleted_at IS NULL
LEFT JOIN LATERAL (
    SELECT array_agg(origin) AS origins FROM familiar
    WHERE familiar.user_id = account.user_id AND origin IN ($2, $3)
) AS known ON true
