-- What the steps of sellers and staff begin with; put after people.lua by those scripts.
--
-- ARGV: 1 user who asks, 2 '1' for ADMIN and MANAGER, 3 why or ''. Their own arguments follow from 4 on.
-- These answer { 'unknown' }, { 'foreign' } where it is another seller's product, or { 'closed' } after the sale.

local by, staff, why = ARGV[1], ARGV[2] == '1', ARGV[3]
local hand = staff and 'staff' or 'seller'

-- Whose room it is. O(1).
local function isForeign()
  return not staff and call('HGET', META, 'seller') ~= by
end

-- The room, rolled; or nil and why it is not to be changed. O(1).
local function operate()
  local room = enter()
  if not room then return nil, { 'unknown' } end
  if isForeign() then return nil, { 'foreign' } end
  closeInTime(room)
  if room.status == 'closed' then return nil, { 'closed' } end
  roll(room)
  return room
end

-- An entry of the log, with who did it and why. O(1).
local function logBy(step, ...)
  local fields = { ... }
  if why ~= '' then
    fields[#fields + 1] = 'why'
    fields[#fields + 1] = why
  end
  log(step, 'by', by, unpack(fields))
end
