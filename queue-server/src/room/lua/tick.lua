-- Time passes: turns and admissions that ran out end, the order is drawn when it is due, the next in line are called,
-- who is silent is away, the room ends with its sale. Every instance may call it at any moment: what one did, the next
-- finds done.
--
-- KEYS as in head.lua. ARGV: 1 people to handle of each kind at most, so that Redis is never held for long.
-- Returns { status, waiting, ready, admitted, called by this tick, 1 when there is more to do at once }, or {
-- 'unknown' }. O(m log n).

-- Between two notes that the room is served, in ms.
local NOTE = 500

local most = num(ARGV[1])
local room = enter()
if not room then return { 'unknown' } end
closeInTime(room)
if room.status == 'closed' then return { 'closed', 0, 0, 0, 0, 0 } end
roll(room)
if math.abs(now - (beat or 0)) >= NOTE then call('HSET', META, 'beat', now) end

local late = room.frozenAt and {} or call('ZRANGEBYSCORE', READY, '-inf', callClock(room), 'LIMIT', 0, most)
for _, user in ipairs(late) do uncall(room, user, read(user), 'e', 'claimExpired') end
local over = call('ZRANGEBYSCORE', ADMITTED, '-inf', now, 'LIMIT', 0, most)
for _, user in ipairs(over) do outlive(user, read(user)) end

local drew = draw(room)
local free = places(room)
local called, looked = 0, 0
if free > 0 then called, looked = admit(room, math.min(free, most), most) end
if #late > 0 or looked > 0 or drew then save(room) end
local isDrawing = drew and not room.drawn
local isBusy = not isDrawing and sweep(room, most)

local more = #late == most or #over == most or looked == most or isDrawing or isBusy
return { room.status, call('ZCARD', LINE), call('ZCARD', READY), call('ZCARD', ADMITTED), called, more and 1 or 0 }
