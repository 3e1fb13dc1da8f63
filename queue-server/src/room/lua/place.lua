-- Where a shopper stands. Writes nothing.
--
-- KEYS as in head.lua. ARGV: 1 user.
-- Returns the place (people.lua `present`), or { 'unknown' }. O(log n).

local user = ARGV[1]
local room = enter()
if not room then return { 'unknown' } end
roll(room)
if room.status ~= 'closed' and now >= room.closesAt then
  -- The sale is over, though no step has written it yet.
  room.closedUpTo = math.huge
  if call('ZSCORE', LINE, user) then return { 'x', now, 0, 0, 0, 0, '', text } end
end
return present(room, user, read(user))
