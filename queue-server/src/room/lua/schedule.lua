-- Starts, changes or stops a room's timetable. What staff stopped, only staff starts again.
--
-- KEYS as in head.lua. ARGV: 1 'start' or 'stop', 2 user who asks, 3 '1' for ADMIN and MANAGER; for a start also 4
-- count, 5 interval in ms, 6 when the first interval begins or ''.
-- Returns { 'scheduled', count, interval in ms, when its first interval begins, 1 when stopped }, { 'foreign' }
-- where it is another seller's product, { 'stopped' } where staff stopped it, { 'closed' }, or { 'unknown' }.
-- O(1).

local by, staff = ARGV[2], ARGV[3] == '1'
local room = enter()
if not room then return { 'unknown' } end
if not staff and call('HGET', META, 'seller') ~= by then return { 'foreign' } end
closeInTime(room)
if room.status == 'closed' then return { 'closed' } end
roll(room)

if ARGV[1] == 'stop' then
  if room.stopped ~= 'staff' then room.stopped = staff and 'staff' or 'seller' end
else
  if room.stopped == 'staff' and not staff then return { 'stopped' } end
  room.stopped = nil
  retime(room, num(ARGV[4]), num(ARGV[5]), num(ARGV[6]))
end
save(room)
logTimetable(room, by)
return { 'scheduled', room.nextCount or room.count, room.nextInterval or room.interval, room.nextAt or room.opensAt,
  room.stopped and 1 or 0 }
