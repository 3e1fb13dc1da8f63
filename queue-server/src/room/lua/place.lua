-- Where a shopper stands. Moves nobody.
--
-- KEYS as in head.lua. ARGV: 1 user.
-- Returns { now, the room, the place (people.lua `present`) }, or { 'unknown' }. O(log n).

local user = ARGV[1]
local room = enter()
if not room then return { 'unknown' } end
roll(room)
if room.status ~= 'closed' and now >= room.closesAt then
  -- The sale is over, though no step has written it yet.
  room.closedUpTo = math.huge
  if call('ZSCORE', LINE, user) then return { now, text, 'x', 0, 0, 0, 0, '' } end
end
return { now, text, present(room, user, read(user)) }
