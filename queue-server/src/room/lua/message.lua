-- Says something to everybody waiting, until something else is said. A repeat changes and logs nothing.
--
-- KEYS as in head.lua. ARGV as in operator.lua, then 4 the text, or '' for nothing more.
-- Returns { 'told' }, or as in operator.lua. O(1).

local said = ARGV[4]
local room, refused = operate()
if not room then return refused end

if (call('HGET', META, 'message') or '') ~= said then
  if said ~= '' then
    call('HSET', META, 'message', said)
    logBy('message', 'text', said)
  else
    call('HDEL', META, 'message')
    logBy('message')
  end
end
return { 'told' }
