-- The one case that a rush is made of, before anything is read or defined that it does not need: somebody without
-- a history registers, and a line is there. Goes between head.lua and lib.lua in front of join.lua, which
-- describes KEYS, ARGV and answers.

local user, key = ARGV[1], ARGV[2]

-- To the very end of the line. Somebody who waits already moves there by nothing more than a new ticket. O(log n).
local function append(waiting, room, record)
  local ticket = call('INCR', TICKETS)
  local joined = call('ZADD', LINE, ticket, user)
  if record then call('HSET', WHO, user, cmsgpack.pack(record)) end
  local step = joined == 1 and 'joined' or 'moved'
  call('XADD', LOG, '*', 'step', step, 'at', now, 'user', user, 'ticket', ticket)
  return { 'w', now, waiting + joined, waiting + joined, 0, 0, '', room, step }
end

local door = call('HMGET', META, 'door', 'room')
if not door[2] then return { 'unknown' } end
local packed = call('HGET', WHO, user)
if not packed and now < num(door[1]) then
  local waiting = call('ZCARD', LINE)
  if waiting > 0 then return append(waiting, door[2], key ~= '' and { state = 'w', keys = key }) end
end
