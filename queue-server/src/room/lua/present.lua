-- Says who is there: people who wait with these tickets have an open stream, or asked for their place. A ticket that
-- nobody waits with any more changes nothing.
--
-- KEYS as in head.lua. ARGV: 1 'live' for streams or 'poll', then tickets.
-- Returns 1, or 0 where the product is not known. O(m log n) at worst, O(m) where nobody was away.

local room = enter()
if not room then return 0 end
closeInTime(room)
if room.status ~= 'closed' then
  for i = 2, #ARGV do hear(room, num(ARGV[i]), ARGV[1] == 'live') end
end
return 1
