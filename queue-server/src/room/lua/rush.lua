-- The one case that a rush is made of, before anything is read or defined that it does not need: people without a
-- history register, and a line is there. Goes between head.lua and lib.lua in front of join.lua, which describes
-- KEYS, ARGV and answers. Each command is called once for all: what a call costs beside its work is half of a join.

local HEADS = #ARGV / 3

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

-- Puts people at the very end of the line, with the tickets from `first` on. Who waits already moves there by nothing
-- more than a new ticket. Returns a letter for each: j for somebody new, m for who moved. One entry of the log holds
-- them all. O(m log n).
local function come(users, first)
  local before = call('ZMSCORE', LINE, unpack(users))
  local line, kinds = {}, {}
  for i, user in ipairs(users) do
    line[2 * i - 1], line[2 * i] = first + i - 1, user
    kinds[i] = before[i] and 'm' or 'j'
  end
  kinds = table.concat(kinds)
  call('ZADD', LINE, unpack(line))
  call('XADD', LOG, '*', 'step', 'came', 'at', now, 'ticket', first, 'users', table.concat(users, ' '), 'kinds', kinds)
  return kinds
end

local door = call('HMGET', META, 'room', 'door', 'run', 'zero')
if not door[1] then return { 'unknown' } end
if door[3] == RUN and now < num(door[2]) then
  local waiting = call('ZCARD', LINE)
  local users, fresh
  if waiting > 0 then users, fresh = strangers() end
  if users then
    local first = call('INCRBY', TICKETS, HEADS) - HEADS + 1
    call('SETRANGE', SEEN, 4 * first, string.rep(struct.pack('>I4', markNow(door[4])), HEADS))
    if #fresh > 0 then call('HSET', WHO, unpack(fresh)) end
    return { 'came', now, door[1], waiting, first, come(users, first) }
  end
end
