-- Says whether a shopper likes a product, after making it so where that is wanted.
-- KEYS: 1 set of who likes the product, with the member 'all' that says that it is whole; 2 sorted set of changes that
--   are not written yet, 'product:user' by twice the change's number, one more for a like; 3 number of the last change.
--   All share the tag {like}.
-- ARGV: 1 user; 2 '1' to like, '0' to like no longer, '' to ask; 3 'product:user'; 4 seconds that the set is kept unused
-- Returns: how many like it, and 1 or 0 for the user; nothing when the set is not here. O(log changes).
if redis.call('EXISTS', KEYS[1]) == 0 then
    return {}
end
local changed = 0
if ARGV[2] == '1' then
    changed = redis.call('SADD', KEYS[1], ARGV[1])
elseif ARGV[2] == '0' then
    changed = redis.call('SREM', KEYS[1], ARGV[1])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
if changed == 1 then
    redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]) * 2 + ARGV[2], ARGV[3])
end
return {redis.call('SCARD', KEYS[1]) - 1, redis.call('SISMEMBER', KEYS[1], ARGV[1])}
