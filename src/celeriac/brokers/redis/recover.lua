-- Take over what dead workers hold. Needs names.lua and lease.lua.
--
-- ARGV[6]   seconds that the caller's lease lasts
-- ARGV[7]   most messages
-- ARGV[8]   bytes after which no more are taken
-- ARGV[9]   prefix of the names under which they are held from now on
-- ARGV[10]  number in the first of these names
--
-- A worker that is late, or quiet, takes over nothing.
--
-- Returns { '1' if the caller's lease had run out, else '',
--           groups of what was held, as it was, each with the name of the dead owner behind it }

local DEAD_AT_ONCE = 64

local seconds, limit, bytes, number = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[10])
local own = held_key(ME)

if is_given_up(ME, number) then
  return { '' }
end
local left = remaining(ME)
if is_late(left, seconds) then
  local taken = taken_name(ME)
  if taken then
    return taken
  end
  prolong(ME, seconds, left)
end
if is_quiet(ME, seconds) then
  return { left and '' or '1' }
end

local function number_of(field)
  return tonumber(string.match(field, '(%d+)$'))
end

local function take_over(lease)
  local held, group = held_key(lease), {}
  local fields = redis.call('HKEYS', held)
  table.sort(fields, function(a, b) return number_of(a) < number_of(b) end)
  for _, field in ipairs(fields) do
    if limit <= 0 or bytes <= 0 then
      break
    end
    local value = redis.call('HGET', held, field)
    redis.call('HSET', own, ARGV[9] .. number, value)
    redis.call('HDEL', held, field)
    group[#group + 1] = value
    number, limit, bytes = number + 1, limit - 1, bytes - #value
  end
  if redis.call('EXISTS', held) == 0 then
    forget(lease)
  end
  group[#group + 1] = owner_of(lease)
  return group
end

local groups = {}
local function look(least, most)
  local found = redis.call('ZRANGEBYSCORE', LEASES, least, most, 'LIMIT', 0, DEAD_AT_ONCE)
  for _, lease in ipairs(found) do
    if lease ~= ME and not remaining(lease) then
      local group = take_over(lease)
      if #group > 1 then
        groups[#groups + 1] = group
      end
    end
  end
end

if limit > 0 then
  look('-inf', string.format('%.6f', MONOTONIC))
  -- Those that end too far ahead to be believed are only shortened by the look.
  look(string.format('(%.6f', MONOTONIC + tonumber(seconds)), '+inf')
end
return { '', unpack(groups) }
