-- Looks after those who are silent; put after presence.lua by tick.lua.

-- Tickets that one tick looks at: some 40 KB, and some milliseconds.
local CHUNK = 10000
-- Between the beginnings of two passes, in ms.
local PASS = 5000

-- What becomes of a mark, or nil where it stays. O(log n) for those that are silent, else O(1).
local function judge(room, ticket, mark)
  if mark == 0 or mark == DEAD then return nil end
  local quiet = silence(room, mark)
  -- Somebody joined before the room knew how long nobody had served it: heard of now, by the clock as it is.
  if quiet < -1000 then return mark + math.max(math.floor(quiet / 1000) + 1, 1 - mark % BY_STREAM) end
  if quiet <= room.awayAfter or (mark >= AWAY and quiet <= room.awayAfter + room.grace) then return nil end
  local user = holder(ticket)
  if not user then return DEAD end
  if quiet > room.awayAfter + room.grace then return lapse(user, ticket, mark) end
  return miss(user, ticket, mark)
end

-- Goes on with the pass over the tickets of the line, or begins one: whoever is silent is away, whoever is away for too
-- long loses the ticket. Stops after `most` changes. Returns whether it did. O(m log n).
local function sweep(room, most)
  local at = call('HMGET', META, 'sweepAt', 'sweepBegan')
  local ticket, began = num(at[1]) or 0, num(at[2]) or 0
  if ticket == 0 then
    if math.abs(now - began) < PASS then return false end
    began = now
  end
  -- Over what nobody holds any more.
  local first = call('ZRANGEBYSCORE', LINE, ticket, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  ticket = num(first[2])
  if not ticket then
    call('HSET', META, 'sweepAt', 0, 'sweepBegan', began)
    return false
  end
  local marks = call('GETRANGE', SEEN, 4 * ticket, 4 * (ticket + CHUNK) - 1)
  local pieces, copied, changes, i = {}, 0, 0, 0
  while i < #marks and changes < most do
    local mark = judge(room, ticket + i / 4, (struct.unpack('>I4', marks, i + 1)))
    if mark then
      pieces[#pieces + 1] = string.sub(marks, copied + 1, i) .. struct.pack('>I4', mark)
      copied, changes = i + 4, changes + 1
    end
    i = i + 4
  end
  if changes > 0 then call('SETRANGE', SEEN, 4 * ticket, table.concat(pieces)) end
  local isEnd = i >= #marks and #marks < 4 * CHUNK
  call('HSET', META, 'sweepAt', isEnd and 0 or ticket + i / 4, 'sweepBegan', began)
  return changes >= most
end
