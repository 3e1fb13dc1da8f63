-- Takes what became of shoppers' orders of this product, one after the other. Older news of an order change nothing.
--
-- KEYS as in head.lua. ARGV, six for each order: order, seq, user, ticket it was placed with, units, 'holds' (units are
-- held for or sold to the shopper), 'ends' (they are not any more) or 'refused' (sold out).
-- Returns how many changed something. O(m log n).

local room = enter()
local isNews = false

local function refuse(user, ticket)
  local record = read(user)
  if not (record and record.state == 'a' and record.ticket == ticket) then return 0 end
  record.state = 'o'
  write(user, record)
  call('ZREM', ADMITTED, user)
  return 1
end

local function count(order, seq, user, ticket, counts)
  local known = call('HGET', ORDERS, order)
  local before = known and cmsgpack.unpack(known) or { 0, 0 }
  if seq <= before[1] then return 0 end
  isNews = true
  call('HSET', ORDERS, order, cmsgpack.pack({ seq, counts }))
  if counts == before[2] then return 0 end
  local record = read(user) or call('ZSCORE', LINE, user) and { state = 'w' } or { ticket = ticket }
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
  return 1
end

local changed = 0
for at = 1, #ARGV, 6 do
  local order, seq, user, ticket, units, effect = unpack(ARGV, at, at + 5)
  if effect == 'refused' then
    changed = changed + refuse(user, num(ticket))
  else
    changed = changed + count(order, num(seq), user, num(ticket), effect == 'holds' and num(units) or 0)
  end
end
-- What comes after the sale, or of a product that is not known, is not kept for ever.
if isNews and (not room or room.status == 'closed') then retire(room) end
return changed
