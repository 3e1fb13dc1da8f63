-- Starts, changes or stops a room's timetable. What staff stopped, only staff starts again.
--
-- KEYS as in head.lua. ARGV as in operator.lua, then 4 'start' or 'stop'; for a start also 5 count, 6 interval in ms,
-- 7 when the first interval begins or ''.
-- Returns { 'scheduled', count, interval in ms, when its first interval begins, 1 when stopped }, { 'staff' } where
-- staff stopped it, or as in operator.lua. O(1).

local room, refused = operate()
if not room then return refused end

if ARGV[4] == 'stop' then
  if room.stopped ~= 'staff' then room.stopped = hand end
else
  if room.stopped == 'staff' and not staff then return { 'staff' } end
  room.stopped = nil
  retime(room, num(ARGV[5]), num(ARGV[6]), num(ARGV[7]))
end
save(room)
logTimetable(room, by, why)
return { 'scheduled', room.nextCount or room.count, room.nextInterval or room.interval, room.nextAt or room.opensAt,
  room.stopped and 1 or 0 }
