-- Names of keys, the clock, and the form of what is held. The first part of every script of the broker.
--
-- Every script has:
--   KEYS[1]   the leases. A cluster needs one key to find the node; all others bear the same hash tag.
--   ARGV[1]   prefix of all keys
--   ARGV[2]   separator between a queue's name and a step
--   ARGV[3]   Unix time in seconds, or '' for the server's own
--   ARGV[4]   reading of the clock for leases in seconds, or '' for the server's own
--   ARGV[5]   the caller's lease id, or ''
--
-- The names must agree with celeriac.storage.redis.keys.

local PREFIX, SEPARATOR, ME = ARGV[1], ARGV[2], ARGV[5]
local OWN = PREFIX .. 'celeriac:'
local LEASES = KEYS[1]

local WALL, MONOTONIC
if ARGV[3] == '' then
  local now = redis.call('TIME')
  WALL = tonumber(now[1]) + tonumber(now[2]) / 1e6
  MONOTONIC = WALL
else
  WALL, MONOTONIC = tonumber(ARGV[3]), tonumber(ARGV[4])
end

local function list_key(queue, step)
  if step == '0' then
    return PREFIX .. queue
  end
  return PREFIX .. queue .. SEPARATOR .. step
end

local function due_key(queue) return OWN .. 'due:' .. queue end
local function held_key(lease) return OWN .. 'held:' .. lease end
local function idle_key(queue) return OWN .. 'idle:' .. queue end
local function lookout_key(queue) return OWN .. 'lookout:' .. queue end
local function wake_channel(lease) return OWN .. 'wake:' .. lease end

-- What is held: a mark ('-', or 's' for started), the step, the queue with its length, and the envelope as it was.

local function held_head(queue, step)
  return '-' .. step .. ':' .. #queue .. ':' .. queue
end

local function parse_held(value)
  local step, length, start = string.match(value, '^.(%d+):(%d+):()')
  local stop = start + tonumber(length)
  return string.sub(value, start, stop - 1), step, string.sub(value, stop)
end
