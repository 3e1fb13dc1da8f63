-- Adds an entry to the stream of denied logins and drops those that matter no longer.
--
-- KEYS[1]  the stream
-- ARGV[1]  for how many milliseconds an entry matters
-- ARGV[2…] the entry's fields: name, value, …
--
-- Returns the entry's id. O(1), and O(entries dropped).
local now = redis.call('TIME')
local since = now[1] * 1000 - ARGV[1]
return redis.call('XADD', KEYS[1], 'MINID', '~', since, '*', unpack(ARGV, 2))
