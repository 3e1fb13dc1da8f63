-- Takes a decision of the stock stage, also of a product that is not known yet. Older ones change nothing.
--
-- KEYS as in head.lua. ARGV: 1 last (the highest command's offset in it: orders decisions), 2 total, 3 available,
-- 4 reserved, 5 sold, in units.
-- Returns 1 when it was new. O(1).

local last = num(call('HGET', META, 'last'))
if last and num(ARGV[1]) <= last then return 0 end
call('HSET', META, 'last', ARGV[1], 'total', ARGV[2], 'available', ARGV[3], 'reserved', ARGV[4], 'sold', ARGV[5])
local room = enter()
if room then
  closeInTime(room)
  roll(room)
  weigh(room)
  save(room)
else
  retire()
end
return 1
