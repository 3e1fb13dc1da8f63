-- Calls the next ones in line by hand: without opening, stop and budget, but within capacity, stock gate and
-- stock.
--
-- KEYS as in head.lua. ARGV: 1 people at most, 2 time to claim in ms.
-- Returns { 'called', how many }, or { 'unknown' }. O(m · log n).

local room = enter()
if not room then return { 'unknown' } end
closeInTime(room)
roll(room)
local free = math.min(places(room, true), num(ARGV[1]))
local called = free > 0 and admit(room, free, num(ARGV[2]), true) or 0
return { 'called', called }
