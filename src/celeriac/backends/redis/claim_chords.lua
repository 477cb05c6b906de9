-- Claim complete chords. Includes storage/redis/chords.lua.
--
-- KEYS[1]  any key with the prefix: a cluster finds the node by it
-- ARGV[1]  reading of the clock for claims in seconds, or '' for the server's own
-- ARGV[2]  prefix of all keys
-- ARGV[3]  most chords to claim
-- ARGV[4]  seconds until a claim runs out
-- ARGV[5]  what the claims of this call begin with; nobody else's do
-- then queues
--
-- Returns for each chord: group, claim, how often it was claimed, body, task_id, root_id or nil, queue,
-- why it was broken, if it was, and priority or nil

redis.call('DEL', KEYS[1])  -- it is never there: see working.lua
local MOST_LOOKS = 1000  -- at chords that are not to be claimed, which are then out of the way
local FOREIGN_SECONDS = 60  -- for a claim without an end, which nobody makes
local ROUNDING = 0.001

local now, prefix, limit = clock_for_claims(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local seconds = math.max(tonumber(ARGV[4]), LEAST_CLAIM_SECONDS)
local found, looks = {}, 0

local function claim(chord, queue, known)
  local name = ARGV[5] .. #found
  hold_claim(chord, name, queue, now, seconds)
  local claims = redis.call('HINCRBY', chord.note, 'claims', 1)
  found[#found + 1] = {chord.group, name, claims, known[1], known[2], known[3], queue, known[6], known[7]}
end

local function look_at(chord, queue)
  if misplaced_chord(chord) then
    redis.call('ZREM', joins_key(prefix, queue), chord.group)  -- it can not be joined, and would stand in the way
    return
  end
  local known = redis.call('HMGET', chord.note, 'body', 'task_id', 'root_id', 'claim', 'queue', 'reason', 'priority')
  local present = redis.call('GET', chord.claim)
  if known[5] ~= queue or not (known[6] or is_complete(chord)) then
    redis.call('ZREM', joins_key(prefix, queue), chord.group)
    if known[5] == queue and not size_of(chord) then  -- it is over; else it has grown
      redis.call('DEL', chord.note)
    end
  elseif present and present ~= known[4] then  -- a worker of Celery makes the body
    local left = redis.call('PTTL', chord.claim)
    put_off(chord, queue, now + math.min(seconds, left >= 0 and (left + 1) / 1000 or FOREIGN_SECONDS))
  else
    claim(chord, queue, known)
  end
end

-- Nothing waits longer than a claim lasts: what is further ahead tells that the clock was set back.
local function bring_back(queue)
  local key, latest = joins_key(prefix, queue), string.format('%.6f', now + seconds)
  local after = string.format('(%.6f', now + seconds + ROUNDING)
  for _, group in ipairs(redis.call('ZRANGEBYSCORE', key, after, '+inf', 'LIMIT', 0, MOST_LOOKS)) do
    redis.call('ZADD', key, latest, group)
  end
end

for n = 6, #ARGV do
  local queue = ARGV[n]
  bring_back(queue)
  while #found < limit and looks < MOST_LOOKS do
    local due = redis.call(
      'ZRANGEBYSCORE', joins_key(prefix, queue), '-inf', string.format('%.6f', now), 'LIMIT', 0, limit - #found
    )
    if #due == 0 then
      break
    end
    for _, group in ipairs(due) do
      looks = looks + 1
      look_at(open_chord(prefix, group, 'zset'), queue)
    end
  end
end
return found
