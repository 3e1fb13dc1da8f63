-- The room and its timetable; put after head.lua.

-- Longer between two ticks, in ms, nobody served the room.
local BREAK = 2000
-- Tickets left out when the server comes back without its last moments: more than it can have given in them.
local JUMP = 100000
-- How long a room is kept after its end, in ms.
local KEPT = 86400000

-- The room as it is stored: answers carry it along, so that Rust can say what its timetable lets people expect.
local text
-- When the room was last ticked, or nil.
local beat

-- `door` is for the many: until that moment, joining needs no look at the room, where `run` is still the server's.
-- `zero` is when the presence clock showed 0.
local function save(room)
  text = cjson.encode(room)
  local isPlain = room.status == 'live' and room.rejoin == 'back'
  call('HSET', META, 'room', text, 'door', isPlain and room.closesAt or 0, 'run', room.run,
    'zero', room.bornAt + room.gap)
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

-- The server came back, perhaps without its last moments: what it gave in them, it must not give again. The running
-- interval counts as spent, and tickets go on far behind those that may be lost. O(1).
local function recover(room)
  log('recovered', 'ticket', lastTicket())
  call('INCRBY', TICKETS, JUMP)
  roll(room)
  if now >= room.opensAt then room.spent = math.max(room.spent, room.count) end
  room.run = RUN
end

-- What the room's steps decide by, or nil while its product is not known. Where nobody served the room for a while,
-- or its server was started again, the clocks of those waiting and of those called stood meanwhile. O(1).
local function enter()
  local facts = call('HMGET', META, 'room', 'beat')
  text, beat = facts[1], num(facts[2])
  if not text then return nil end
  local room = cjson.decode(text)
  local isNewRun = room.run ~= RUN
  local idle = beat and now - beat or 0
  if isNewRun or (idle > BREAK and room.status ~= 'closed') then
    idle = math.max(idle, 0)
    room.gap = room.gap + idle
    -- While it is frozen, the clock of calls stands anyway.
    if not room.frozenAt then room.lag = room.lag + idle end
    if isNewRun then recover(room) end
    beat = now
    call('HSET', META, 'beat', now)
    save(room)
  end
  return room
end

-- Lets the room's keys end by themselves; of a room that is not known, what it holds. O(1).
local function retire(room)
  local ends = math.max(room and room.closesAt or 0, now) + KEPT
  for _, key in ipairs(KEYS) do call('PEXPIREAT', key, ends) end
end
