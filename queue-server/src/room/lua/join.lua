-- Shoppers register, in the order of their coming: the queue handler. Runs after rush.lua.
--
-- KEYS as in head.lua. ARGV, three for each shopper: user, the Idempotency-Key's hash (8 bytes) or '', a new jti, used
-- when the shopper walks straight through.
-- Returns { now, the room, and for each shopper the place (people.lua `present`) and what happened: 'joined', 'moved',
-- 'straight' or '' }; the place of one who may buy no more begins with 'limit'. Or { 'unknown' }, { 'closed' }, and where
-- all came to the end of a line, { 'came', now, the room, people in the line before, the first of their tickets, a letter
-- for each: j joined, m moved }.
-- O(m log n).

local room = enter()
roll(room)
closeInTime(room)
if room.status == 'closed' then return { 'closed' } end

-- A new ticket, whose holder is there. O(1).
local function newTicket()
  local ticket = call('INCR', TICKETS)
  writeMark(ticket, markNow(room.bornAt + room.gap))
  return ticket
end

-- Ends what a shopper had whose time is over: the tick would do it some moments later, but by then the record says
-- something else. O(log n).
local function settle(user, record)
  if record.state == 'r' then
    uncall(room, user, record, 'e', 'claimExpired')
    save(room)
  elseif record.state == 'a' and not isRevoked(room, record) then
    outlive(user, record)
  end
end

-- One shopper registers. Returns the place, and what happened. O(log n).
local function register(user, key, jti)
  local record = read(user)
  local state = record and record.state ~= 'w' and standing(room, user, record)
  if room.status == 'soldOut' then
    -- Those inside keep their right, and must be able to fetch their token.
    if state == 'a' then return present(room, user, record) end
    return 's', 0, 0, 0, 0, ''
  end

  if key ~= '' then
    local keys = record and record.keys or ''
    if string.sub(keys, 1, 8) == key or string.sub(keys, 9, 16) == key then return present(room, user, record) end
    record = record or {}
    record.keys = key .. string.sub(keys, 1, 8)
  end
  if state == 'e' then
    settle(user, record)
  elseif state == 'c' and (record.bought or 0) >= room.limit then
    return 'limit', 0, 0, 0, 0, ''
  end

  local ticket = room.rejoin == 'keep' and num(call('ZSCORE', LINE, user))
  if ticket then
    if key ~= '' then write(user, record) end
    if hear(room, ticket, false) then return present(room, user, record) end
    record = read(user)
  elseif state == 'r' or state == 'a' then
    if key ~= '' then write(user, record) end
    return present(room, user, record)
  end

  local waiting = call('ZCARD', LINE)
  if waiting > 0 or places(room) == 0 then
    if record then
      record.state, record.ticket, record.ends, record.jti, record.epoch = 'w', nil, nil, nil, nil
      write(user, record)
    end
    ticket = newTicket()
    local joined = call('ZADD', LINE, ticket, user)
    local step = joined == 1 and 'joined' or 'moved'
    log(step, 'user', user, 'ticket', ticket)
    return 'w', waiting + joined, waiting + joined, 0, ticket, '', step
  end
  record = record or {}
  record.ticket = newTicket()
  letIn(room, user, record, jti)
  room.spent = room.spent + 1
  save(room)
  log('joined', 'user', user, 'ticket', record.ticket)
  log('admitted', 'user', user, 'ticket', record.ticket, 'interval', room.k, 'count', room.count)
  return 'a', 0, 0, record.ends, record.ticket, jti, 'straight'
end

local answer, at = { now, '' }, 2
for i = 1, #ARGV, 3 do
  local state, rank, total, ends, ticket, right, what = register(ARGV[i], ARGV[i + 1], ARGV[i + 2])
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = state, rank, total, ends
  answer[at + 5], answer[at + 6], answer[at + 7] = ticket, right, what or ''
  at = at + 7
end
answer[2] = text
return answer
