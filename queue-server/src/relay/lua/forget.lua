-- Takes a room off the list, unless somebody has announced it meanwhile.
--
-- KEYS: 1 the list, as in announce.lua. ARGV: 1 product, 2 how long ago it must have been announced, in ms.
-- Returns 1 when it is off. O(log n) in the rooms listed.

local time = redis.call('TIME')
local announced = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1])) or 0
if announced > time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[2] then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
