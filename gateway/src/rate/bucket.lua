-- Takes one request out of a bucket that all gateways share and that refills evenly.
-- KEYS[1] the bucket: when it will be full again, in ms since 1970 (absent: full)
-- ARGV[1] ms in which one request refills; ARGV[2] requests that fit
-- Returns 0, or the ms to wait. O(1). One key, so no hash tag is shared with others.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + ARGV[1]
local wait = full - now - ARGV[1] * ARGV[2]
if wait > 0 then
  return math.ceil(wait)
end
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil(full - now))
return 0
