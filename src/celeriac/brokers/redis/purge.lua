-- Delete all messages of a queue that are not held. Needs names.lua.
--
-- ARGV[6]     queue
-- ARGV[7...]  steps
-- Returns how many there were.

local queue, count = ARGV[6], redis.call('ZCARD', due_key(ARGV[6]))
redis.call('UNLINK', due_key(queue))
for at = 7, #ARGV do
  local key = list_key(queue, ARGV[at])
  count = count + redis.call('LLEN', key)
  redis.call('UNLINK', key)
end
return count
