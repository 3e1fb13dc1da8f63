-- A shopper registers: the queue handler. Runs after rush.lua.
--
-- KEYS as in head.lua. ARGV: 1 user, 2 the Idempotency-Key's hash (8 bytes) or '', 3 a new jti, used when the
-- shopper walks straight through, 4 length of an admission in ms.
-- Returns the shopper's place (people.lua `present`) and, when something happened, what: 'joined', 'moved' or
-- 'straight'. Or one of { 'unknown' }, { 'closed' }, { 'limit' }.
-- O(log n).

local room = enter()
roll(room)
closeInTime(room)
if room.status == 'closed' then return { 'closed' } end

local record = packed and cmsgpack.unpack(packed) or nil
local state = record and record.state ~= 'w' and standing(room, user, record)
if room.status == 'soldOut' then
  -- Those inside keep their right, and must be able to fetch their token.
  return state == 'a' and present(room, user, record) or { 's', now, 0, 0, 0, 0, '', text }
end

if key ~= '' then
  local keys = record and record.keys or ''
  if string.sub(keys, 1, 8) == key or string.sub(keys, 9, 16) == key then return present(room, user, record) end
  record = record or {}
  record.keys = key .. string.sub(keys, 1, 8)
end

if state == 'e' and record.state == 'r' then
  -- The tick would do it some moments later, but by then the record says something else.
  uncall(room, user, record, 'e', 'claimExpired')
  save(room)
elseif state == 'e' and record.state == 'a' then
  outlive(user, record)
elseif state == 'c' and (record.bought or 0) >= room.limit then
  return { 'limit' }
end

local waits = room.rejoin == 'keep' and call('ZSCORE', LINE, user)
if waits or state == 'r' or state == 'a' then
  if key ~= '' then write(user, record) end
  return present(room, user, record)
end

local waiting = call('ZCARD', LINE)
if waiting > 0 or places(room) == 0 then
  if record then record.state, record.ticket, record.ends, record.jti = 'w', nil, nil, nil end
  return append(waiting, text, record)
end

local ticket, ends = call('INCR', TICKETS), now + ARGV[4]
record = record or {}
record.state, record.ticket, record.ends, record.jti = 'a', ticket, ends, ARGV[3]
write(user, record)
call('ZADD', ADMITTED, ends, user)
room.spent = room.spent + 1
save(room)
log('joined', 'user', user, 'ticket', ticket)
log('admitted', 'user', user, 'ticket', ticket, 'interval', room.k, 'count', room.count)
return { 'a', now, 0, 0, ends, ticket, ARGV[3], text, 'straight' }
