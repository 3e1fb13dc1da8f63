-- Takes what became of a shopper's order of this product. Older news of the same order change nothing.
--
-- KEYS as in head.lua. ARGV: 1 order, 2 seq, 3 user, 4 ticket it was placed with, 5 units, 6 'holds' (units are
-- held for or sold to the shopper), 'ends' (they are not any more) or 'refused' (sold out).
-- Returns 1 when it changed something. O(log n).

local order, seq, user = ARGV[1], num(ARGV[2]), ARGV[3]
local ticket, units, effect = num(ARGV[4]), num(ARGV[5]), ARGV[6]
local room = enter()
local record = read(user)

if effect == 'refused' then
  if not (record and record.state == 'a' and record.ticket == ticket) then return 0 end
  record.state = 'o'
  write(user, record)
  call('ZREM', ADMITTED, user)
  return 1
end

local known = call('HGET', ORDERS, order)
local before = known and cmsgpack.unpack(known) or { 0, 0 }
if seq <= before[1] then return 0 end
local counts = effect == 'holds' and units or 0
call('HSET', ORDERS, order, cmsgpack.pack({ seq, counts }))
-- What comes after the sale, or of a product that is not known, is not kept for ever.
local isLate = not room or room.status == 'closed'
if counts == before[2] then
  if isLate then retire(room) end
  return 0
end

record = record or call('ZSCORE', LINE, user) and { state = 'w' } or { ticket = ticket }
record.bought = math.max((record.bought or 0) + counts - before[2], 0)
-- A shopper who has gone on to another ticket stands where that one stands.
local same = record.ticket == ticket and record.state ~= 'r'
if same and counts > 0 and record.state ~= 'c' then
  call('ZREM', ADMITTED, user)
  record.state = 'c'
  log('completed', 'user', user, 'ticket', ticket)
elseif same and counts == 0 and record.state == 'c' then
  record.state = 'l'
  log('returned', 'user', user, 'ticket', ticket)
end
write(user, record)
if isLate then retire(room) end
return 1
