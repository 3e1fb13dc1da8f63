-- How people are called from the line; put after presence.lua by tick.lua and hand.lua.

-- Somebody's turn begins: ready, until the time runs out. `byHand` is nil, or what the log says of whose hand it was:
-- names and values. The room is to be saved after. O(log n).
local function callOne(room, user, ticket, mark, byHand)
  local record = read(user) or {}
  record.state, record.ticket, record.hand = 'r', ticket, byHand and true or nil
  write(user, record)
  call('ZREM', LINE, user)
  -- Whoever has a stream is told at once; others ask from time to time.
  local within = mark % AWAY >= BY_STREAM and room.claimLive or room.claimPoll
  call('ZADD', READY, callClock(room) + within, user)
  if byHand then
    log('ready', 'user', user, 'ticket', ticket, 'byHand', 'true', unpack(byHand))
  else
    room.spent = room.spent + 1
    log('ready', 'user', user, 'ticket', ticket, 'interval', room.k, 'count', room.count)
  end
end

-- Calls one of the line who is there; passes over others, whom `hear` remembers. Returns whether it called. O(log n).
local function tryOne(room, user, ticket, byHand)
  local mark = readMark(ticket)
  if mark >= AWAY then return false end
  if mark > 0 and silence(room, mark) > room.awayAfter then
    writeMark(ticket, miss(user, ticket, mark))
    return false
  end
  callOne(room, user, ticket, mark, byHand)
  return true
end

-- Calls the first `units` of those who are there, in the order of their tickets, and looks at no more than `most`:
-- first those who came back after admissions had passed them, then from there on. Returns how many it called and how
-- many it looked at. The room must be rolled, and saved after. O(m log n).
local function admit(room, units, most, byHand)
  local called, looked = 0, 0
  while called < units and looked < most do
    local first = call('ZPOPMIN', BACK)
    if #first == 0 then break end
    local user, ticket = first[1], num(first[2])
    looked = looked + 1
    -- Who has gone, or has another ticket, is no longer meant.
    if num(call('ZSCORE', LINE, user)) == ticket and tryOne(room, user, ticket, byHand) then called = called + 1 end
  end
  while called < units and looked < most do
    local page = math.min(units - called, most - looked)
    local rows = call('ZRANGEBYSCORE', LINE, '(' .. room.cursor, '+inf', 'WITHSCORES', 'LIMIT', 0, page)
    for i = 1, #rows, 2 do
      room.cursor = num(rows[i + 1])
      looked = looked + 1
      if tryOne(room, rows[i], room.cursor, byHand) then called = called + 1 end
    end
    if #rows < 2 * page then break end
  end
  return called, looked
end
