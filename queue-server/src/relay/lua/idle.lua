-- The rooms that nobody has announced for a while.
--
-- KEYS: 1 the list, as in announce.lua. ARGV: 1 that while, in ms, 2 how many at most.
-- Returns the products. O(log n + m) in the rooms listed, and in those returned.

local time = redis.call('TIME')
local since = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', since, 'LIMIT', 0, ARGV[2])
