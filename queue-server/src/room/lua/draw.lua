-- The draw: at the opening, the tickets of all who wait are shuffled; put after presence.lua by tick.lua.

-- Tickets that one tick draws: some milliseconds.
local DRAWN = 500

-- Where the ticket stands in the draw among `count`: a permutation of 1 to `count` that the seed alone decides, as
-- common::draw computes it too. Four rounds of a Feistel network on the cells of a rectangle that has just room for
-- all; from a cell that is no ticket it goes on. O(1).
local function permute(seed, ticket, count)
  local height = math.ceil(math.sqrt(count))
  local width = math.ceil(count / height)
  local cell = ticket - 1
  repeat
    local row, column = math.floor(cell / width), cell % width
    for round = 1, 4 do
      local half = round % 2 == 1 and column or row
      local digits = string.sub(redis.sha1hex(seed .. ':' .. round .. ':' .. half), 1, 8)
      if round % 2 == 1 then
        row = (row + num(digits, 16)) % height
      else
        column = (column + num(digits, 16)) % width
      end
    end
    cell = row * width + column
  until cell < count
  return cell + 1
end

-- Begins the draw when it is due, and goes on with it: ticket t of the first N becomes N + its place in the draw, so
-- that no ticket is ever given twice and those who join meanwhile stand behind. Returns whether it changed the room,
-- which is to be saved after. O(m log n).
local function draw(room)
  if room.order ~= 'draw' or room.drawn or room.status ~= 'live' or now < room.opensAt then return false end
  local seed = call('HGET', META, 'seed')
  if not room.drawUpTo then
    room.drawUpTo = lastTicket()
    room.cursor = room.drawUpTo
    call('INCRBY', TICKETS, room.drawUpTo)
    call('UNLINK', BACK)
    log('drawn', 'text', seed, 'ticket', room.drawUpTo)
  end
  local count = room.drawUpTo
  local rows = call('ZRANGEBYSCORE', LINE, '-inf', count, 'WITHSCORES', 'LIMIT', 0, DRAWN)
  for i = 1, #rows, 2 do
    local ticket = num(rows[i + 1])
    local drawn = count + permute(seed, ticket, count)
    call('ZADD', LINE, drawn, rows[i])
    writeMark(drawn, readMark(ticket))
    writeMark(ticket, DEAD)
  end
  if #rows < 2 * DRAWN then
    room.drawn = true
    log('drawEnded')
  end
  return true
end
