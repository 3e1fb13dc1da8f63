-- Moves a capacity that follows the load: once per so much time, however many instances decide it, and only where
-- nobody has set it since the decision's facts were read. Never out of its bounds.
--
-- KEYS as in head.lua. ARGV: 1 when the capacity was set that the decision began with (`capAt`), 2 the new one, 3
-- why, 4 time between two changes in ms.
-- Returns 1 when it moved. O(1).

local room = enter()
if not room or room.status == 'closed' or not room.adaptive then return 0 end
if room.capAt ~= num(ARGV[1]) or now - room.capAt < num(ARGV[4]) then return 0 end

local capacity = math.max(room.adaptive.min, math.min(room.adaptive.max, num(ARGV[2])))
if capacity == room.capacity then return 0 end
room.capacity, room.capAt = capacity, now
save(room)
log('capacity', 'count', capacity, 'why', ARGV[3])
return 1
