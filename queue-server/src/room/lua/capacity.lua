-- Sets how many may be inside at once, and whether that follows the load from now on (adapt.lua). Whoever is inside
-- stays. A repeat changes and logs nothing.
--
-- KEYS as in head.lua. ARGV as in operator.lua, then 4 the capacity or '' for no limit, 5 the bounds and goals of one
-- that follows the load as JSON (the wire's Adaptive) or ''.
-- Returns { 'set' }, or as in operator.lua. O(1).

local capacity, goals = num(ARGV[4]), ARGV[5]
local room, refused = operate()
if not room then return refused end

local adaptive = goals ~= '' and cjson.decode(goals) or nil
local same = room.capacity == capacity and (not room.adaptive) == (not adaptive)
if same and adaptive then
  for name, value in pairs(adaptive) do same = same and room.adaptive[name] == value end
end
if not same then
  room.capacity, room.adaptive, room.capBy, room.capAt = capacity, adaptive, hand, now
  save(room)
  local fields = {}
  if capacity then fields = { 'count', capacity } end
  if adaptive then
    fields[#fields + 1] = 'text'
    fields[#fields + 1] = goals
  end
  logBy('capacity', unpack(fields))
end
return { 'set' }
