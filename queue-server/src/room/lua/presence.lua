-- Who of those waiting is there; put after people.lua by the scripts that need it.
--
-- `seen` holds a mark for each ticket: 4 bytes, the highest first, at 4 times its number. Bit 31: nothing was heard of
-- the holder for a while, and the log says so. Bit 30: last heard of by a live stream. The rest: when, in seconds of
-- the room's presence clock, from 1 on. 0: nobody ever had the ticket. All bits: nobody has it any more.

local AWAY, BY_STREAM, DEAD = 2147483648, 1073741824, 4294967295

local function readMark(ticket)
  local packed = call('GETRANGE', SEEN, 4 * ticket, 4 * ticket + 3)
  return #packed == 4 and struct.unpack('>I4', packed) or 0
end

local function writeMark(ticket, mark)
  call('SETRANGE', SEEN, 4 * ticket, struct.pack('>I4', mark))
end

-- For how long nothing was heard of a mark's holder, in ms, up to a second less.
local function silence(room, mark)
  return now - room.bornAt - room.gap - mark % BY_STREAM * 1000
end

-- Who waits with a ticket, or nil. O(log n).
local function holder(ticket)
  return call('ZRANGEBYSCORE', LINE, ticket, ticket)[1]
end

-- Somebody does not answer: admissions pass over the ticket, which stays. Returns the new mark. O(1).
local function miss(user, ticket, mark)
  log('away', 'user', user, 'ticket', ticket)
  return mark + AWAY
end

-- Somebody was away for too long. Returns the new mark. O(log n).
local function lapse(user, ticket, mark)
  if mark < AWAY then miss(user, ticket, mark) end
  call('ZREM', LINE, user)
  call('ZREM', BACK, user)
  local record = read(user) or {}
  record.state, record.ticket = 'e', ticket
  write(user, record)
  log('expired', 'user', user, 'ticket', ticket)
  return DEAD
end

-- Somebody with a ticket is heard of. Who was away goes before all larger tickets again, also where admissions have
-- passed. Returns whether the ticket still waits. O(log n).
local function hear(room, ticket, isStream)
  local mark = readMark(ticket)
  if mark == 0 or mark == DEAD then return false end
  local isOver = silence(room, mark) > room.awayAfter + room.grace
  if mark >= AWAY or isOver then
    local user = holder(ticket)
    if not user or isOver then
      writeMark(ticket, user and lapse(user, ticket, mark) or DEAD)
      return false
    end
    log('back', 'user', user, 'ticket', ticket)
    if ticket <= room.cursor then call('ZADD', BACK, ticket, user) end
  end
  writeMark(ticket, markNow(room.bornAt + room.gap) + (isStream and BY_STREAM or 0))
  return true
end
