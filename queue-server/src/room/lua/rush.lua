-- The one case that a rush is made of, before anything is read or defined that it does not need: people without a
-- history register, and a line is there. Goes between head.lua and lib.lua in front of join.lua, which describes
-- KEYS, ARGV and answers.

local HEADS = #ARGV / 3

-- Puts somebody at the very end of the line. Who waits already moves there by nothing more than a new ticket. Returns
-- 1 for somebody new, else 0, and what happened. O(log n).
local function append(user, ticket)
  local joined = call('ZADD', LINE, ticket, user)
  local step = joined == 1 and 'joined' or 'moved'
  call('XADD', LOG, '*', 'step', step, 'at', now, 'user', user, 'ticket', ticket)
  return joined, step
end

-- Users and the records of those who send an Idempotency-Key, or nil where somebody has a history. O(m).
local function strangers()
  local users, fresh = {}, {}
  for i = 1, #ARGV, 3 do users[#users + 1] = ARGV[i] end
  local known = call('HMGET', WHO, unpack(users))
  local met = {}
  for i, user in ipairs(users) do
    if known[i] or met[user] then return nil end
    met[user] = true
    if ARGV[3 * i - 1] ~= '' then
      fresh[#fresh + 1] = user
      fresh[#fresh + 1] = cmsgpack.pack({ state = 'w', keys = ARGV[3 * i - 1] })
    end
  end
  return users, fresh
end

local door = call('HMGET', META, 'room', 'door', 'run', 'zero')
if not door[1] then return { 'unknown' } end
if door[3] == RUN and now < num(door[2]) then
  local waiting = call('ZCARD', LINE)
  local users, fresh
  if waiting > 0 then users, fresh = strangers() end
  if users then
    local ticket = call('INCRBY', TICKETS, HEADS) - HEADS
    call('SETRANGE', SEEN, 4 * ticket + 4, string.rep(struct.pack('>I4', markNow(door[4])), HEADS))
    if #fresh > 0 then call('HSET', WHO, unpack(fresh)) end
    local answer, at = { now, door[1] }, 2
    for i = 1, HEADS do
      local joined, step = append(users[i], ticket + i)
      waiting = waiting + joined
      answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = 'w', waiting, waiting, 0
      answer[at + 5], answer[at + 6], answer[at + 7] = ticket + i, '', step
      at = at + 7
    end
    return answer
  end
end
