-- The rooms whose logs are to be read.
--
-- KEYS: 1 the list, as in announce.lua. ARGV: 1 since when they were announced, in ms since 1970; that moment counts.
-- Returns { now, products }. O(log n + m) in the rooms listed, and in those announced since then.

local time = redis.call('TIME')
return { time[1] * 1000 + math.floor(time[2] / 1000), redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf') }
