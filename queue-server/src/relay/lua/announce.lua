-- Puts a room on the list of those whose log is read, or says again that it belongs there.
--
-- KEYS: 1 the list, product → when it was last announced, in ms since 1970. ARGV: 1 product.
-- Returns 1. O(log n) in the rooms listed.

local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
return 1
