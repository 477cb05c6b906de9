-- Leases: for scripts that look at them. Needs names.lua.
--
-- A lease is alive if it ends in the future, but not further ahead than it lasts: a clock that was set back must not
-- make it immortal.

local LEASE_SECONDS, NAMES = OWN .. 'lease-seconds', OWN .. 'names'

-- Seconds until the lease ends; nil if it has run out.
local function remaining(lease)
  local ends = redis.call('ZSCORE', LEASES, lease)
  if not ends then
    return nil
  end
  local left = tonumber(ends) - MONOTONIC
  local seconds = tonumber(redis.call('HGET', LEASE_SECONDS, lease) or 0)
  -- A microsecond for the rounding of sums.
  if left <= 0 or left > seconds + 1e-6 then
    return nil
  end
  return left
end

local function owner_of(lease)
  return string.match(lease, '^(.*)/[^/]*$')
end

-- The error reply if another worker is alive under the same name, else nil.
local function taken_name(lease)
  local other = redis.call('HGET', NAMES, owner_of(lease))
  if other and other ~= lease then
    local left = remaining(other)
    if left then
      return redis.error_reply('NAMETAKEN ' .. string.format('%.1f', left))
    end
  end
  return nil
end

local function prolong(lease, seconds)
  redis.call('ZADD', LEASES, string.format('%.6f', MONOTONIC + tonumber(seconds)), lease)
  redis.call('HSET', LEASE_SECONDS, lease, seconds)
  redis.call('HSET', NAMES, owner_of(lease), lease)
end

local function forget(lease)
  redis.call('ZREM', LEASES, lease)
  redis.call('HDEL', LEASE_SECONDS, lease)
  local owner = owner_of(lease)
  if redis.call('HGET', NAMES, owner) == lease then
    redis.call('HDEL', NAMES, owner)
  end
end
