-- Takes in who likes a product, unless somebody else has: what was changed since then counts.
-- KEYS: 1 set of who likes the product; 2 changes that are not written yet. Both share the tag {like}.
-- ARGV: 1 seconds that the set is kept unused; 2 product; further ones: users
-- Returns: 1. O(users + changes).
if redis.call('EXISTS', KEYS[1]) == 1 then
    return 1
end
redis.call('SADD', KEYS[1], 'all')
for first = 3, #ARGV, 1000 do
    redis.call('SADD', KEYS[1], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
-- Changes that the database did not have yet when it was read.
local changes = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
for n = 1, #changes, 2 do
    local product, user = changes[n]:match('^(%d+):(%d+)$')
    if product == ARGV[2] then
        redis.call(changes[n + 1] % 2 == 1 and 'SADD' or 'SREM', KEYS[1], user)
    end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
