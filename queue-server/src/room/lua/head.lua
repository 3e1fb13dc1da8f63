-- What every step of a room begins with. Rust puts this file in front of each script, which then runs as one
-- atomic step.
--
-- KEYS, all of one room and under one hash tag: 1 meta, 2 line, 3 ready, 4 admitted, 5 told, 6 who, 7 orders, 8
-- log, 9 tickets. src/room/store/mod.rs says what each holds. Times are milliseconds since 1970 by this server's
-- clock, which stands still during a script. Complexities count people: n those in the room, m those a call
-- handles.

local META, LINE, READY, ADMITTED, TOLD = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local WHO, ORDERS, LOG, TICKETS = KEYS[6], KEYS[7], KEYS[8], KEYS[9]

local call, num = redis.call, tonumber
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
