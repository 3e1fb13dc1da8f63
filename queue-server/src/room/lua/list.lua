-- A page of the line in its order, or of those who were called or are inside: the called first, by when their turn runs
-- out, then those inside, by when their admission ends. Writes nothing.
--
-- KEYS as in head.lua. ARGV as in operator.lua, then 4 people at most, 5 'waiting', 6 the last ticket of the page
-- before or 0; or 5 'admitted', 6 'r' or 'a', 7 score and 8 user of the last one of the page before, or 'r', 0, ''.
-- Returns { 'list', 1 when there are more, and flat: user, ticket, rank or 0, 1 when away }, or flat: user, ticket,
-- 'r' or 'a', until when, 1 when called by hand, score. Or as in operator.lua. O(log n + m).

local most, what, from = num(ARGV[4]), ARGV[5], ARGV[6]
local room = enter()
if not room then return { 'unknown' } end
if isForeign() then return { 'foreign' } end
local page = { 'list', 0 }

-- Before the order is drawn, nobody has a place in it.
local isRanked = room.order ~= 'draw' or room.drawn

local function add(...)
  for _, value in ipairs({ ... }) do page[#page + 1] = value end
end

if what == 'waiting' then
  local rows = call('ZRANGEBYSCORE', LINE, '(' .. from, '+inf', 'WITHSCORES', 'LIMIT', 0, most + 1)
  local rank = rows[1] and call('ZRANK', LINE, rows[1])
  for i = 1, math.min(#rows, 2 * most), 2 do
    local ticket = num(rows[i + 1])
    add(rows[i], ticket, isRanked and rank + (i + 1) / 2 or 0, readMark(ticket) >= AWAY and 1 or 0)
  end
  if #rows > 2 * most then page[2] = 1 end
  return page
end

-- Adds those of one set whose time is not over, from `score` and `last` on, and returns how many fit still.
local function fill(state, key, clock, score, last, left)
  local ties = score > clock and call('ZCOUNT', key, score, score) or 0
  local low = score > clock and score or '(' .. clock
  local rows = call('ZRANGEBYSCORE', key, low, '+inf', 'WITHSCORES', 'LIMIT', 0, left + ties + 1)
  for i = 1, #rows, 2 do
    local user, at = rows[i], num(rows[i + 1])
    -- People of one moment stand in the order of their names.
    if at ~= score or user > last then
      if left == 0 then
        page[2] = 1
        return 0
      end
      local record = read(user)
      add(user, record.ticket, state, now + at - clock, record.hand and 1 or 0, at)
      left = left - 1
    end
  end
  return left
end

local score, last = num(ARGV[7]), ARGV[8]
if from == 'r' then
  most = fill('r', READY, callClock(room), score, last, most)
  score, last = 0, ''
end
if page[2] == 0 then fill('a', ADMITTED, now, score, last, most) end
return page
