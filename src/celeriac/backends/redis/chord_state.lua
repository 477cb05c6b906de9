-- What is known of a chord. Includes storage/redis/chords.lua.
--
-- KEYS[1]  any key with the prefix: a cluster finds the node by it
-- ARGV[1]  prefix of all keys
-- ARGV[2]  group
--
-- Returns what describe_chord tells, with the parts in order

local chord = open_chord(ARGV[1], ARGV[2], 'zset')
local wrong = misplaced_chord(chord)
if wrong then
  return wrong
end
local parts
if chord.kind == 'list' then
  parts = redis.call('LRANGE', chord.parts, 0, -1)
else
  parts = redis.call('ZRANGE', chord.parts, 0, -1)
end
return describe_chord(chord, parts)
