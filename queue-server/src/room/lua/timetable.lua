-- How a timetable is changed; put after people.lua by schedule.lua and product.lua.

-- With `at` the new grid starts there, counted from there. Without, what has opened keeps its grid until the next
-- boundary, so that a change never gives an interval a second budget, and what has not opened keeps its opening.
-- Intervals are numbered on through all grids. The room must be rolled, and saved after. O(1).
local function retime(room, count, interval, at)
  room.nextAt, room.nextCount, room.nextInterval = nil, nil, nil
  if at then
    room.first, room.opensAt, room.count, room.interval = room.k + 1, at, count, interval
  elseif now < room.opensAt then
    room.count, room.interval = count, interval
  else
    room.nextAt = room.opensAt + (room.k - room.first + 1) * room.interval
    room.nextCount, room.nextInterval = count, interval
  end
end

-- A stopped room lets nobody in: its count is 0. O(1).
local function logTimetable(room, by, why)
  local count = room.stopped and 0 or room.nextCount or room.count
  if (why or '') ~= '' then
    log('scheduled', 'by', by, 'count', count, 'why', why)
  else
    log('scheduled', 'by', by, 'count', count)
  end
end
