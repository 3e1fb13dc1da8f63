-- Time passes: turns and admissions that ran out end, the next in line are called, the room ends with its sale.
-- Every instance may call it at any moment: what one did, the next finds done.
--
-- KEYS as in head.lua. ARGV: 1 time to claim in ms, 2 people to handle of each kind at most, so that Redis is
-- never held for long.
-- Returns { status, waiting, ready, admitted, called by this tick, 1 when there is more to do at once }, or {
-- 'unknown' }. O(m · log n).

local callMs, most = num(ARGV[1]), num(ARGV[2])
local room = enter()
if not room then return { 'unknown' } end
closeInTime(room)
if room.status == 'closed' then return { 'closed', 0, 0, 0, 0, 0 } end
roll(room)

local late = room.frozenAt and {} or call('ZRANGEBYSCORE', READY, '-inf', callClock(room), 'LIMIT', 0, most)
for _, user in ipairs(late) do uncall(room, user, read(user), 'e', 'claimExpired') end
local over = call('ZRANGEBYSCORE', ADMITTED, '-inf', now, 'LIMIT', 0, most)
for _, user in ipairs(over) do outlive(user, read(user)) end

local free = places(room)
local called = free > 0 and admit(room, math.min(free, most), callMs) or 0
if #late > 0 or called > 0 then save(room) end
local more = (#late == most or #over == most or called == most) and 1 or 0
return { room.status, call('ZCARD', LINE), call('ZCARD', READY), call('ZCARD', ADMITTED), called, more }
