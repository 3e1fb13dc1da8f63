-- Holds on to the lease, where it was not lost meanwhile: between two holders, or two runs of the server.
--
-- KEYS: 1 the lease. ARGV: 1 who asks, 2 for how long, in ms.
-- Returns 1 when the asker holds it. O(1).

if redis.call('GET', KEYS[1]) ~= ARGV[1] .. '@' .. RUN then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
