-- Have the body of a chord fail that is not complete. Includes storage/redis/chords.lua.
--
-- KEYS[1]  any key with the prefix: a cluster finds the node by it
-- ARGV[1]  reading of the clock for claims in seconds, or '' for the server's own
-- ARGV[2]  prefix of all keys
-- ARGV[3]  group
-- ARGV[4]  why
-- ARGV[5]  the queue whose workers do it
--
-- Returns 1 if it is broken now, else 0.

local chord = open_chord(ARGV[2], ARGV[3], 'zset')
local wrong = misplaced_chord(chord)
if wrong then
  return wrong
end
local reason, queue = ARGV[4], ARGV[5]
local fits, other = is_of(joins_key(chord.prefix, queue), 'zset')
if not fits then
  return other
end
local known = redis.call('HMGET', chord.note, 'body', 'reason', 'queue', 'claim', 'task_id')
local present = redis.call('GET', chord.claim)
if not known[1] or not known[2] and is_complete(chord) or present and present ~= known[4] then
  return 0  -- nothing is known of it, it is complete, or it is over or one of Celery's workers makes the body
end
if not size_of(chord) and count_parts(chord) == 0 and not known[2] then
  return 0  -- one of Celery's workers has ended it
end
local left = redis.call('PTTL', chord.note)
if not present then
  redis.call('SET', chord.claim, BROKEN)
  if left >= 0 then
    redis.call('PEXPIRE', chord.claim, left)
  end
  redis.call('HSET', chord.note, 'claim', BROKEN)
end
redis.call('HSET', chord.note, 'reason', reason, 'queue', queue, 'task_id', known[5] or '')
local from = clock_for_claims(ARGV[1])
if known[3] and known[3] ~= queue then
  local old = joins_key(chord.prefix, known[3])
  from = tonumber(redis.call('ZSCORE', old, chord.group)) or from  -- a claim lasts as long as before
  redis.call('ZREM', old, chord.group)
end
await_join(chord, queue, left < 0 and left or math.ceil(left / 1000), from)
return 1
