-- Takes a snapshot of the room's product; the first one makes the room and its timetable. Older ones change
-- nothing. What the seller edits ends no stop.
--
-- KEYS as in head.lua. ARGV: 1 version, 2 seller, 3 sale's start and admission delay in ms, 4 sale's end in ms (0
-- when withdrawn), 5 units per shopper, 6 count, 7 interval in ms, 8 capacity or '', 9 stock gate or '', 10 'back'
-- or 'keep', 11 user who changed it.
-- Returns 1 when it was new. O(1).

local version, by = num(ARGV[1]), ARGV[11]
local opensAt, count, interval = num(ARGV[3]), num(ARGV[6]), num(ARGV[7])
local known = call('HMGET', META, 'version', 'opensAt', 'count', 'interval')
if known[1] and version <= num(known[1]) then return 0 end
-- As the seller wants it: the room itself may run by another timetable since.
call('HSET', META, 'version', version, 'seller', ARGV[2], 'opensAt', opensAt, 'count', count, 'interval', interval)

local room = enter()
local isNew = not room
room = room or { status = 'live', opensAt = opensAt, count = count, interval = interval, first = 0, k = -1, spent = 0,
  available = 0, soldUpTo = 0, closedUpTo = 0, lag = 0 }
room.closesAt, room.limit, room.rejoin = num(ARGV[4]), num(ARGV[5]), ARGV[10]
room.capacity, room.gate = num(ARGV[8]), num(ARGV[9])
roll(room)

if isNew then
  logTimetable(room, by)
else
  local moved = opensAt ~= num(known[2]) and (opensAt > now or now < room.opensAt)
  if moved or count ~= num(known[3]) or interval ~= num(known[4]) then
    retime(room, count, interval, moved and opensAt or nil)
    logTimetable(room, by)
  end
end
if room.status == 'closed' and now < room.closesAt then
  room.status = 'live'
  log('reopened')
end
closeInTime(room)
weigh(room)
save(room)
return 1
