-- Keeps a copy of a profile, unless a newer one is there: a reader that was slow must not undo what a writer has told.
--
-- KEYS[1]  profile:{user id}
-- ARGV[1]  the copy's version
-- ARGV[2]  the profile as JSON; '' where the account was deleted
-- ARGV[3]  for how many seconds it is kept
--
-- Returns 1 when it was taken, else 0. O(1).
local held = redis.call('HGET', KEYS[1], 'version')
if held and tonumber(held) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'view', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
