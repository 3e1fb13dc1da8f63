-- Takes the lease where nobody holds it; the asker may hold it from before. It belongs to a run of the server: one that
-- was started again may lack what its holder noted last.
--
-- KEYS: 1 the lease. ARGV: 1 who asks, 2 for how long, in ms.
-- Returns 1 when the asker holds it. O(1).

local lease = redis.call('GET', KEYS[1])
if lease and string.sub(lease, 1, #ARGV[1] + 1) ~= ARGV[1] .. '@' then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. '@' .. RUN, 'PX', ARGV[2])
return 1
