-- What a room concludes from the stock; put after people.lua by decision.lua and product.lua.

-- Weighs the last decision known: sold out, a new round, or all reserved. The room is to be saved after. O(1).
local function weigh(room)
  local stock = call('HMGET', META, 'total', 'available', 'reserved')
  local total, available, reserved = num(stock[1]) or 0, num(stock[2]) or 0, num(stock[3]) or 0
  room.available = available
  if room.status == 'soldOut' and available > 0 then
    room.status = 'live'
    log('reopened')
  elseif room.status == 'live' and available <= 0 and reserved <= 0 and total > 0 then
    room.soldUpTo = dissolve()
    room.status = 'soldOut'
    log('soldOut')
  end
  local frozen = room.status == 'live' and available <= 0 and reserved > 0
  if frozen then
    room.frozenAt = room.frozenAt or now
  elseif room.frozenAt then
    -- Everybody who was called gets the time back, without touching one of them.
    room.lag = room.lag + now - room.frozenAt
    room.frozenAt = nil
  end
end
