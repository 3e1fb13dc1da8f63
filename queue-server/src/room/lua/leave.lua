-- A shopper leaves the line, or gives up the turn.
--
-- KEYS as in head.lua. ARGV: 1 user.
-- Returns { 'left' }, { 'nothing' } where there was nothing to leave, { 'inside' } where the shopper is admitted
-- or has ordered, or { 'unknown' }. O(log n).

local user = ARGV[1]
local room = enter()
if not room then return { 'unknown' } end
closeInTime(room)
roll(room)

local record = read(user)
local ticket = num(call('ZSCORE', LINE, user))
if ticket then
  call('ZREM', LINE, user)
  record = record or {}
  record.state = 'l'
  write(user, record)
  log('left', 'user', user, 'ticket', ticket)
  return { 'left' }
end

local state = standing(room, user, record)
if state == 'r' then
  uncall(room, user, record, 'l', 'left')
  save(room)
  return { 'left' }
end
return { (state == 'a' or state == 'c') and 'inside' or 'nothing' }
