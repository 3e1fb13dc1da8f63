-- Drops what the topic has from a room's stream, but for what followers may still want, and says what waits.
--
-- KEYS: 1 the room's stream. ARGV: 1 id of the last step that the topic has, 2 how long entries are kept for
-- followers, in ms; empty to drop none.
-- Returns { 1 when something waits, entries ever added, entries kept, ms since the oldest that waits }.
-- O(m) in the entries dropped.

local call, log, last = redis.call, KEYS[1], ARGV[1]
if call('EXISTS', log) == 0 then return { 0, 0, 0, 0 } end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] ~= '' then
  local ms, number = string.match(last, '^(%d+)-(%d+)$')
  local kept = now - ARGV[2]
  local from = tonumber(ms) < kept and ms .. '-' .. (number + 1) or kept .. '-0'
  if tonumber(ARGV[2]) == 0 then
    call('XTRIM', log, 'MINID', from)
  else
    -- Whole nodes only: exact trimming would rewrite one at every call.
    call('XTRIM', log, 'MINID', '~', from, 'LIMIT', 100000)
  end
end
local about = {}
local info = call('XINFO', 'STREAM', log)
for i = 1, #info, 2 do about[info[i]] = info[i + 1] end
local oldest = call('XRANGE', log, '(' .. last, '+', 'COUNT', 1)[1]
local age = oldest and now - tonumber(string.match(oldest[1], '^%d+')) or 0
return { oldest and 1 or 0, about['entries-added'], about['length'], math.max(age, 0) }
