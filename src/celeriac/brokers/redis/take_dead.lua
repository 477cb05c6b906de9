-- Remove dead letters, and put them back into their queues where that is wanted. Needs names.lua.
--
-- ARGV[6...]  for each: tag, queue, step ('' to put it nowhere), envelope
-- Returns how many there were.

local DEAD, DEAD_ORDER = OWN .. 'dead', OWN .. 'dead:order'

local count = 0
for at = 6, #ARGV, 4 do
  local tag, queue, step, envelope = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if redis.call('HEXISTS', DEAD, tag) == 1 then
    if step ~= '' then
      redis.call('LPUSH', list_key(queue, step), envelope)
    end
    redis.call('HDEL', DEAD, tag)
    redis.call('ZREM', DEAD_ORDER, tag .. ':' .. queue)
    count = count + 1
  end
end
return count
