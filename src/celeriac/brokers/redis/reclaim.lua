-- Give back what the caller is held to hold and does not know of: what trips took whose answers were lost, and what a
-- server holds that has come back with less than it had. Needs names.lua and lease.lua.
--
-- ARGV[6]  the largest number of trips that the caller has given up, or 0. Such a trip may still be on its way: whatever
--          comes by a number up to this one takes nothing.
-- ARGV[7]  the first number that no trip had when this was sent
-- ARGV[8]  number of trips that are not answered yet; then the first and the last number of each
-- then the numbers that the caller has in hand
-- Returns how many messages were given back.

local known, above, trips = {}, tonumber(ARGV[7]), tonumber(ARGV[8])
for at = 9 + 2 * trips, #ARGV do
  known[ARGV[at]] = true
end

local function is_under_way(number)
  if number >= above then
    return true
  end
  for at = 9, 7 + 2 * trips, 2 do
    if number >= tonumber(ARGV[at]) and number <= tonumber(ARGV[at + 1]) then
      return true
    end
  end
  return false
end

local held, found = held_key(ME), {}
for _, field in ipairs(redis.call('HKEYS', held)) do
  local text = string.match(field, '(%d+)$')
  if not known[text] and not is_under_way(tonumber(text)) then
    found[#found + 1] = { tonumber(text), field }
  end
end

-- The oldest last, so that it is the first to be taken.
table.sort(found, function(a, b) return a[1] > b[1] end)
for _, one in ipairs(found) do
  local queue, step, envelope = parse_held(redis.call('HGET', held, one[2]))
  redis.call('RPUSH', list_key(queue, step), envelope)
  redis.call('HDEL', held, one[2])
end
if tonumber(ARGV[6]) > 0 and not is_given_up(ME, tonumber(ARGV[6])) then
  redis.call('HSET', FACTS, 'floor:' .. ME, ARGV[6])
end
return #found
