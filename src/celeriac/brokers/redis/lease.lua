-- Leases: for scripts that look at them. Needs names.lua.
--
-- A lease is alive if it ends in the future. One that ends further ahead than it lasts tells that the clock was set back:
-- it is shortened to what it lasts from now, so that the living have the time to renew and the dead are not immortal.
--
-- Whoever finds its lease nearly over or gone knows that the server was away, for the others too. They may live, and have
-- had no chance to say so. Such a worker is quiet: it takes over nothing for as long as its lease lasts.
--
-- Facts about leases, fields of one hash:
--   seconds:<lease>  how long it lasts
--   quiet:<lease>    reading of the clock until which its worker takes over nothing
--   floor:<lease>    the largest number of trips that its worker has given up (see reclaim.lua)
--   name:<owner>     the lease under this name

local FACTS = OWN .. 'lease-facts'
local LATE = 0.5  -- "nearly over": less than this part of it left
local ROUNDING = 1e-6

-- Seconds until the lease ends; nil if it has run out.
local function remaining(lease)
  local ends = redis.call('ZSCORE', LEASES, lease)
  if not ends then
    return nil
  end
  local left = tonumber(ends) - MONOTONIC
  local seconds = tonumber(redis.call('HGET', FACTS, 'seconds:' .. lease) or 0)
  if left > seconds + ROUNDING then
    redis.call('ZADD', LEASES, string.format('%.6f', MONOTONIC + seconds), lease)
    return seconds > 0 and seconds or nil
  end
  return left > 0 and left or nil
end

local function owner_of(lease)
  return string.match(lease, '^(.*)/[^/]*$')
end

-- The error reply if another worker is alive under the same name, else nil.
local function taken_name(lease)
  local other = redis.call('HGET', FACTS, 'name:' .. owner_of(lease))
  if other and other ~= lease then
    local left = remaining(other)
    if left then
      return redis.error_reply('NAMETAKEN ' .. string.format('%.1f', left))
    end
  end
  return nil
end

local function is_late(left, seconds)
  return not left or left < tonumber(seconds) * LATE
end

-- left: seconds that the lease still had, nil if it had run out
local function prolong(lease, seconds, left)
  local ends = string.format('%.6f', MONOTONIC + tonumber(seconds))
  redis.call('ZADD', LEASES, ends, lease)
  redis.call('HSET', FACTS, 'seconds:' .. lease, seconds, 'name:' .. owner_of(lease), lease)
  if is_late(left, seconds) then
    redis.call('HSET', FACTS, 'quiet:' .. lease, ends)
  end
end

local function is_quiet(lease, seconds)
  local ends = tonumber(redis.call('HGET', FACTS, 'quiet:' .. lease) or 0)
  if ends == 0 then
    return false
  end
  if MONOTONIC < ends and ends <= MONOTONIC + tonumber(seconds) + ROUNDING then
    return true
  end
  redis.call('HDEL', FACTS, 'quiet:' .. lease)
  return false
end

-- A trip that its worker has given up: nobody would hear of what it takes.
local function is_given_up(lease, number)
  local floor = redis.call('HGET', FACTS, 'floor:' .. lease)
  return floor and number <= tonumber(floor)
end

local function forget(lease)
  redis.call('ZREM', LEASES, lease)
  redis.call('HDEL', FACTS, 'seconds:' .. lease, 'quiet:' .. lease, 'floor:' .. lease)
  local name = 'name:' .. owner_of(lease)
  if redis.call('HGET', FACTS, name) == lease then
    redis.call('HDEL', FACTS, name)
  end
end
