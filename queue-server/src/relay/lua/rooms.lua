-- The rooms whose logs are to be read, and those among them that nobody has announced for a while.
--
-- KEYS: 1 the list, as in announce.lua. ARGV: 1 that while, in ms.
-- Returns { products, products not announced meanwhile }. O(n) in the rooms listed.

local time = redis.call('TIME')
local since = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]
return { redis.call('ZRANGE', KEYS[1], 0, -1), redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', since) }
