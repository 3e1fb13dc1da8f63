-- The oldest changes that are not written yet.
-- KEYS: 1 changes. ARGV: 1 how many at most.
-- Returns: 'product:user' and score in turn. O(log changes + ARGV[1]).
return redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'WITHSCORES')
