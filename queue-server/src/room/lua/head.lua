-- What every step of a room begins with. Rust puts this file in front of each script, which then runs as one
-- atomic step. `RUN`, the server's run id, comes before it (common::redis).
--
-- KEYS, all of one room and under one hash tag: 1 meta, 2 line, 3 ready, 4 admitted, 5 told, 6 who, 7 orders, 8
-- log, 9 tickets, 10 seen, 11 back. src/room/store/mod.rs says what each holds. Times are milliseconds since 1970
-- by this server's clock, which stands still during a script. Complexities count people: n those in the room, m
-- those a call handles.

local META, LINE, READY, ADMITTED, TOLD = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local WHO, ORDERS, LOG, TICKETS, SEEN, BACK = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]

local call, num = redis.call, tonumber
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The mark of a ticket (presence.lua) whose holder is heard of now; `zero` is when the presence clock showed 0.
-- O(1).
local function markNow(zero)
  return math.max(math.floor((now - zero) / 1000) + 1, 1)
end
