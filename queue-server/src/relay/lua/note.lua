-- Notes where in the topic the last record of each product stands, and up to where that is known of each partition:
-- a successor need not read the whole topic. Only the holder of the lease may: a note that comes late would hide what
-- others have written since.
--
-- KEYS: 1 the lease, 2 partition → offset up to which all is noted, 3… the place of one product each. ARGV: 1 who
-- asks, 2 how long a place is kept, in ms, 3… the place for each of KEYS 3…, as '<partition>:<offset>', then the
-- partitions and offsets for KEYS 2 in pairs.
-- Returns 1 when it was noted. O(m) in the products.

if redis.call('GET', KEYS[1]) ~= ARGV[1] .. '@' .. RUN then return 0 end
local products = #KEYS - 2
for i = 1, products do redis.call('SET', KEYS[i + 2], ARGV[i + 2], 'PX', ARGV[2]) end
for i = products + 3, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
return 1
