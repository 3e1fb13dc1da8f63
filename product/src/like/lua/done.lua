-- Forgets changes that are written, but for those that were changed again meanwhile.
-- KEYS: 1 changes. ARGV: 'product:user' and the score that was written, in turn.
-- Returns: how many were forgotten. O(ARGV × log changes).
local gone = 0
for n = 1, #ARGV, 2 do
    if redis.call('ZSCORE', KEYS[1], ARGV[n]) == ARGV[n + 1] then
        gone = gone + redis.call('ZREM', KEYS[1], ARGV[n])
    end
end
return gone
