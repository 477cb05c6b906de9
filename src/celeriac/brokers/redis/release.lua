-- Give messages back to the front of their lists. Needs names.lua.
--
-- ARGV[6...]  names under which they are held, the last one to be taken first
-- Returns how many were held.

local held, count = held_key(ME), 0
for at = 6, #ARGV do
  local value = redis.call('HGET', held, ARGV[at])
  if value then
    local queue, step, envelope = parse_held(value)
    redis.call('RPUSH', list_key(queue, step), envelope)
    redis.call('HDEL', held, ARGV[at])
    count = count + 1
  end
end
return count
