-- Calls the next ones in line by hand: without opening, stop, pause and budget, but within capacity, stock gate and
-- stock, and not before the order is drawn.
--
-- KEYS as in head.lua. ARGV: 1 people at most, 2 people to look at, at most, 3 user who asks, 4 why or ''.
-- Returns { 'called', how many }, or { 'unknown' }. O(m log n).

local room = enter()
if not room then return { 'unknown' } end
closeInTime(room)
roll(room)
local free = math.min(places(room, true), num(ARGV[1]))
local called, looked = 0, 0
local hand = { 'by', ARGV[3] }
if ARGV[4] ~= '' then hand = { 'by', ARGV[3], 'why', ARGV[4] } end
if free > 0 then called, looked = admit(room, free, num(ARGV[2]), hand) end
if looked > 0 then save(room) end
return { 'called', called }
