-- Takes access tokens back: one shopper's, or all of the product's by raising its epoch. Whoever is waiting, or called,
-- keeps the place.
--
-- KEYS as in head.lua, then the product's epoch and its set of single rights that are void, which others read. ARGV
-- as in operator.lua, then 4 the shopper or '' for all.
-- Returns { 'revoked', rights that ended, epoch }, { 'none' } where the shopper holds no right, or as in
-- operator.lua. O(log n).

local EPOCH, DENIED = KEYS[#KEYS - 1], KEYS[#KEYS]
local user = ARGV[4]
local room, refused = operate()
if not room then return refused end

if user == '' then
  local count = call('ZCOUNT', ADMITTED, '(' .. now, '+inf')
  room.epoch = (room.epoch or 0) + 1
  -- Tokens of before have ended long before it is forgotten.
  call('SET', EPOCH, room.epoch, 'PX', KEPT)
  call('UNLINK', ADMITTED)
  save(room)
  logBy('revoked', 'ticket', lastTicket())
  return { 'revoked', count, room.epoch }
end

local record = read(user)
-- Whoever has ordered holds a token all the same, until its time is over.
local ordered = record and record.state == 'c'
local holds = record and (ordered and record.ends and record.ends > now or standing(room, user, record) == 'a')
if not holds or isRevoked(room, record) then return { 'none' } end
call('SADD', DENIED, record.jti)
call('PEXPIREAT', DENIED, math.max(record.ends, call('PEXPIRETIME', DENIED)))
if not ordered then
  call('ZREM', ADMITTED, user)
  record.state = 'e'
end
record.ends = now
write(user, record)
logBy('revoked', 'user', user, 'ticket', record.ticket)
return { 'revoked', 1, room.epoch or 0 }
