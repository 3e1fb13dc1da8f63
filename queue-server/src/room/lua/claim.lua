-- A shopper whose turn it is takes the right to go in; asked for again, it is the same right.
--
-- KEYS as in head.lua. ARGV: 1 user, 2 a new jti, 3 length of an admission in ms.
-- Returns the place (people.lua `present`), { 'notReady' }, or { 'unknown' }. O(log n).

local user = ARGV[1]
local room = enter()
if not room then return { 'unknown' } end
closeInTime(room)
roll(room)

local record = read(user)
local state = record and record.state ~= 'w' and standing(room, user, record)
if state == 'r' then
  record.state, record.jti, record.ends, record.hand = 'a', ARGV[2], now + ARGV[3], nil
  write(user, record)
  call('ZREM', READY, user)
  call('ZADD', ADMITTED, record.ends, user)
  log('admitted', 'user', user, 'ticket', record.ticket)
elseif state ~= 'a' then
  return { 'notReady' }
end
return { 'a', now, 0, call('ZCARD', LINE), record.ends, record.ticket, record.jti, text }
