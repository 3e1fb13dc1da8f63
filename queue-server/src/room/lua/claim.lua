-- A shopper whose turn it is takes the right to go in; asked for again, it is the same right.
--
-- KEYS as in head.lua. ARGV: 1 user, 2 a new jti.
-- Returns { now, the room, the place (people.lua `present`) }, { 'notReady' }, or { 'unknown' }. O(log n).

local user = ARGV[1]
local room = enter()
if not room then return { 'unknown' } end
closeInTime(room)
roll(room)

local record = read(user)
local state = record and record.state ~= 'w' and standing(room, user, record)
if state == 'r' then
  call('ZREM', READY, user)
  letIn(room, user, record, ARGV[2])
  log('admitted', 'user', user, 'ticket', record.ticket)
elseif state ~= 'a' then
  return { 'notReady' }
end
return { now, text, present(room, user, record) }
