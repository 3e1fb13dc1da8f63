-- Takes a snapshot of the room's product; the first one makes the room, its timetable, and the seed of a draw. Older
-- ones change nothing. What the seller edits ends no stop, no pause, and no capacity set by hand but for another one.
--
-- KEYS as in head.lua. ARGV: 1 version, 2 seller, 3 sale's start and admission delay in ms, 4 sale's end in ms (0
-- when withdrawn), 5 units per shopper, 6 count, 7 interval, 8 capacity or '', 9 stock gate or '', 10 'back' or
-- 'keep', 11 user who changed it, 12 'fifo' or 'draw', 13 silence until somebody is away, 14 the grace after it, time
-- to claim 15 with and 16 without a stream, 17 length of an admission, 18 the commitment of a new seed, 19 the seed. Lengths of
-- time in ms.
-- Returns 1 when it was new. O(1).

local version, by = num(ARGV[1]), ARGV[11]
local opensAt, count, interval, capacity = num(ARGV[3]), num(ARGV[6]), num(ARGV[7]), ARGV[8]
local known = call('HMGET', META, 'version', 'opensAt', 'count', 'interval', 'capacity')
if known[1] and version <= num(known[1]) then return 0 end
-- As the seller wants it: the room itself may run by other figures since.
call('HSET', META, 'version', version, 'seller', ARGV[2], 'opensAt', opensAt, 'count', count, 'interval', interval,
  'capacity', capacity)
-- The first seed is the one: nobody may choose another by what comes of it.
call('HSETNX', META, 'commitment', ARGV[18])
call('HSETNX', META, 'seed', ARGV[19])

local room = enter()
local isNew = not room
room = room or { status = 'live', opensAt = opensAt, count = count, interval = interval, first = 0, k = -1, spent = 0,
  available = 0, soldUpTo = 0, closedUpTo = 0, lag = 0, run = RUN, bornAt = now, gap = 0, cursor = 0 }
room.closesAt, room.limit, room.rejoin = num(ARGV[4]), num(ARGV[5]), ARGV[10]
room.gate = num(ARGV[9])
if capacity ~= known[5] then
  room.capacity, room.capBy, room.adaptive = num(capacity), nil, nil
  if not isNew then
    if room.capacity then log('capacity', 'by', by, 'count', capacity) else log('capacity', 'by', by) end
  end
end
room.awayAfter, room.grace = num(ARGV[13]), num(ARGV[14])
room.claimLive, room.claimPoll, room.admission = num(ARGV[15]), num(ARGV[16]), num(ARGV[17])
-- Once it has opened, people stand in an order already.
if isNew or (room.k < 0 and now < room.opensAt) then room.order = ARGV[12] end
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
if room.order == 'draw' and not room.isCommitted then
  room.isCommitted = true
  log('committed', 'text', call('HGET', META, 'commitment'))
end
local reopens = room.status == 'closed' and now < room.closesAt
if reopens then
  room.status = 'live'
  log('reopened')
end
if isNew or reopens then
  for _, key in ipairs(KEYS) do call('PERSIST', key) end
end
closeInTime(room)
weigh(room)
save(room)
return 1
