-- Give back all that is held, and the lease. Needs names.lua, lease.lua and wake.lua.
--
-- ARGV[6]     number of keys that remember batches of settlements; then the keys, then the queues that the caller has
--             waited for
-- Returns how many messages were given back.

local held = held_key(ME)
local fields = redis.call('HKEYS', held)

local function number_of(field)
  return tonumber(string.match(field, '(%d+)$'))
end

-- The oldest last, so that it is the first to be taken.
table.sort(fields, function(a, b) return number_of(a) > number_of(b) end)
for _, field in ipairs(fields) do
  local queue, step, envelope = parse_held(redis.call('HGET', held, field))
  redis.call('RPUSH', list_key(queue, step), envelope)
  redis.call('HDEL', held, field)
end
local first_queue = 7 + ARGV[6]
for at = 7, first_queue - 1 do
  redis.call('DEL', ARGV[at])
end
for at = first_queue, #ARGV do
  redis.call('ZREM', idle_key(ARGV[at]), ME)
  hand_over(ARGV[at])
end
forget(ME)
return #fields
