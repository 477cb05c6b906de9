-- Give back what was taken by trips whose answers were lost: the server knows that the caller holds it, the caller does
-- not. Such a trip may still be on its way: the numbers are given up, and whatever comes by them takes nothing. Needs
-- names.lua and lease.lua.
--
-- ARGV[6...]  pairs of the first and the last number that such a trip may have used in the names of what is held
-- Returns how many messages were given back.

local held, found = held_key(ME), {}
for _, field in ipairs(redis.call('HKEYS', held)) do
  local number = tonumber(string.match(field, '(%d+)$'))
  for at = 6, #ARGV, 2 do
    if number >= tonumber(ARGV[at]) and number <= tonumber(ARGV[at + 1]) then
      found[#found + 1] = { number, field }
      break
    end
  end
end

-- The oldest last, so that it is the first to be taken.
table.sort(found, function(a, b) return a[1] > b[1] end)
for _, one in ipairs(found) do
  local queue, step, envelope = parse_held(redis.call('HGET', held, one[2]))
  redis.call('RPUSH', list_key(queue, step), envelope)
  redis.call('HDEL', held, one[2])
end
for at = 7, #ARGV, 2 do
  if not is_given_up(ME, tonumber(ARGV[at])) then
    redis.call('HSET', FACTS, 'floor:' .. ME, ARGV[at])
  end
end
return #found
