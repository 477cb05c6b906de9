-- Note that held messages are about to run. Needs names.lua.
--
-- ARGV[6...]  names under which they are held
-- Returns the numbers of those that are not held any more, from 1.

local held, lost = held_key(ME), {}
for at = 6, #ARGV do
  local value = redis.call('HGET', held, ARGV[at])
  if value then
    redis.call('HSET', held, ARGV[at], 's' .. string.sub(value, 2))
  else
    lost[#lost + 1] = at - 5
  end
end
return lost
