-- Pauses admissions, or goes on. What staff paused, only staff resumes; a pause by the seller on top changes nothing.
-- A repeat changes and logs nothing.
--
-- KEYS as in head.lua. ARGV as in operator.lua, then 4 'hold' or 'resume', 5 what those waiting are told or ''.
-- Returns { 'held', 'staff', 'seller' or '', what they are told or '' }, { 'staff' } where staff paused it, or as in
-- operator.lua. O(1).

local isHold, said = ARGV[4] == 'hold', ARGV[5]
local room, refused = operate()
if not room then return refused end

local told = call('HGET', META, 'holdText') or ''
if room.held == 'staff' and not staff then
  if not isHold then return { 'staff' } end
elseif isHold and (room.held ~= hand or told ~= said) then
  room.held, told = hand, said
  call('HSET', META, 'holdText', said)
  save(room)
  if said ~= '' then logBy('held', 'text', said) else logBy('held') end
elseif not isHold and room.held then
  room.held, told = nil, ''
  call('HDEL', META, 'holdText')
  save(room)
  logBy('resumed')
end
return { 'held', room.held or '', told }
