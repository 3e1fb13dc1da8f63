-- Puts rooms on the list of those whose log is read, or says again that they belong there.
--
-- KEYS: 1 the list, product → when it was last announced, in ms since 1970. ARGV: products.
-- Returns 1. O(m log n) in the rooms announced, and those listed.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, product in ipairs(ARGV) do redis.call('ZADD', KEYS[1], now, product) end
return 1
