-- The room and its timetable; put after head.lua.

-- The room as it is stored: answers carry it along, so that Rust can say what its timetable lets people expect.
local text

-- What the room's steps decide by, or nil while its product is not known. O(1).
local function enter()
  text = call('HGET', META, 'room')
  return text and cjson.decode(text) or nil
end

-- `door` is for the many: until that moment, joining and asking need no look at the room.
local function save(room)
  text = cjson.encode(room)
  local isPlain = room.status == 'live' and room.rejoin == 'back'
  call('HSET', META, 'room', text, 'door', isPlain and room.closesAt or 0)
end

-- Brings the timetable to now: the next grid takes over at its boundary, a new interval starts unspent, and those
-- that nobody used are gone. In memory only: whoever changes the room saves it. O(1).
local function roll(room)
  if room.nextAt and now >= room.nextAt then
    room.first = room.first + (room.nextAt - room.opensAt) / room.interval
    room.opensAt, room.count, room.interval = room.nextAt, room.nextCount, room.nextInterval
    room.nextAt, room.nextCount, room.nextInterval = nil, nil, nil
  end
  if now >= room.opensAt then
    local k = room.first + math.floor((now - room.opensAt) / room.interval)
    -- A clock that was set back must not make a spent interval new.
    if k > room.k then room.k, room.spent = k, 0 end
  end
end

-- One entry of the room's log, with the fields of the wire's Step. O(1).
local function log(step, ...)
  call('XADD', LOG, '*', 'step', step, 'at', now, ...)
end

-- The number of the last ticket. O(1).
local function lastTicket()
  return num(call('GET', TICKETS)) or 0
end
