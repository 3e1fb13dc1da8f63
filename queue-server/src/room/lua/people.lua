-- Where people stand, who may come in, and how it ends; put after lib.lua by the scripts that need it.
--
-- States of a record in `who`, one letter each: w waiting, r ready, a admitted, o admitted with the place given
-- back, c completed, l left, e expired. Answers also know s sold out, x closed, n none.

-- The record of a user, or nil. O(1).
local function read(user)
  local packed = call('HGET', WHO, user)
  return packed and cmsgpack.unpack(packed) or nil
end

local function write(user, record)
  call('HSET', WHO, user, cmsgpack.pack(record))
end

-- The clock by which people who were called have their time. It stands while every unit is reserved. O(1).
local function callClock(room)
  return (room.frozenAt or now) - room.lag
end

-- Whether a right was taken back with all others. O(1).
local function isRevoked(room, record)
  return (record.epoch or 0) < (room.epoch or 0)
end

-- Where somebody stands who is not in the line: state, and until when. The end of a round, the end of the sale,
-- rights taken back and times that ran out count here without having been written to anybody's record. O(log n).
local function standing(room, user, record)
  local state = record and record.state
  if not state or state == 'w' then
    local ticket = num(call('ZSCORE', TOLD, user))
    if ticket then return ticket <= room.soldUpTo and 's' or 'x' end
    return state and 's' or 'n'
  elseif state == 'r' then
    if record.ticket <= room.soldUpTo then return 's' end
    if record.ticket <= room.closedUpTo then return 'x' end
    local left = call('ZSCORE', READY, user) - callClock(room)
    if left <= 0 then return 'e' end
    return 'r', now + left
  elseif state == 'a' or state == 'o' then
    if record.ticket <= room.closedUpTo then return 'x' end
    if record.ends <= now or isRevoked(room, record) then return 'e' end
    return 'a', record.ends
  end
  return state
end

-- The present place of anybody: state, rank, people waiting, until when, ticket of those who wait, are called or
-- inside, jti of those inside. O(log n).
local function present(room, user, record)
  local total = call('ZCARD', LINE)
  local ahead = call('ZRANK', LINE, user)
  if ahead then return 'w', ahead + 1, total, 0, num(call('ZSCORE', LINE, user)), '' end
  local state, ends = standing(room, user, record)
  return state, 0, total, ends or 0, ends and record.ticket or 0, state == 'a' and record.jti or ''
end

-- How many places are free: every rule of admission, here and nowhere else. By hand: without opening, stop, pause and
-- budget. The room must be rolled. O(1).
local function places(room, byHand)
  if room.status ~= 'live' or room.available <= 0 then return 0 end
  -- Before the draw nobody is first.
  if room.order == 'draw' and not room.drawn then return 0 end
  local free = math.huge
  if not byHand then
    if room.stopped or room.held or now < room.opensAt then return 0 end
    free = room.count - room.spent
  end
  if free > 0 and (room.capacity or room.gate) then
    local inside = call('ZCARD', READY) + call('ZCARD', ADMITTED)
    if room.capacity then free = math.min(free, room.capacity - inside) end
    if room.gate then
      local worth = math.max(1, math.floor(room.available * room.gate / room.limit))
      free = math.min(free, worth - inside)
    end
  end
  return math.max(free, 0)
end

-- Gives somebody with a ticket the right to be inside. O(log n).
local function letIn(room, user, record, jti)
  record.state, record.jti, record.ends, record.hand = 'a', jti, now + room.admission, nil
  record.epoch = room.epoch
  write(user, record)
  call('ZADD', ADMITTED, record.ends, user)
end

-- Takes back somebody's turn. Its unit returns to the running interval, unless it was given by hand or none runs.
-- The room must be rolled, and saved after. O(log n).
local function uncall(room, user, record, state, step)
  if record.hand then
    log(step, 'user', user, 'ticket', record.ticket, 'byHand', 'true')
  elseif now < room.opensAt then
    log(step, 'user', user, 'ticket', record.ticket)
  else
    room.spent = room.spent - 1
    log(step, 'user', user, 'ticket', record.ticket, 'interval', room.k, 'count', room.count)
  end
  call('ZREM', READY, user)
  record.state, record.hand = state, nil
  write(user, record)
end

-- An admission whose time is over. O(log n).
local function outlive(user, record)
  call('ZREM', ADMITTED, user)
  record.state = 'e'
  write(user, record)
  log('admissionExpired', 'user', user, 'ticket', record.ticket)
end

-- Ends all waiting and all turns, and returns the last ticket that it ended. O(1), however many they are: the line is
-- put aside under another name, where `standing` finds its people; what was there before is freed in the background.
local function dissolve()
  call('UNLINK', READY, BACK)
  if call('EXISTS', LINE) == 1 then
    call('UNLINK', TOLD)
    call('RENAME', LINE, TOLD)
  end
  return lastTicket()
end

-- Ends the room once its sale is over. O(1).
local function closeInTime(room)
  if room.status == 'closed' or now < room.closesAt then return end
  room.closedUpTo = room.status == 'live' and dissolve() or lastTicket()
  call('UNLINK', ADMITTED)
  room.status = 'closed'
  save(room)
  log('closed')
  retire(room)
end
