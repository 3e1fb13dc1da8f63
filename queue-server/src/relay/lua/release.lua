-- Gives the lease back, where the asker still holds it.
--
-- KEYS: 1 the lease. ARGV: 1 who asks.
-- Returns 1 when it was given back. O(1).

if redis.call('GET', KEYS[1]) ~= ARGV[1] .. '@' .. RUN then return 0 end
return redis.call('DEL', KEYS[1])
