-- The chords that our senders have begun and that are not over. Includes storage/redis/chords.lua.
--
-- KEYS[1]  any key with the prefix: a cluster finds the node by it
-- ARGV[1]  prefix of all keys
-- ARGV[2]  most chords to return
--
-- Returns for each, newest first: group, and what describe_chord tells, with the number of parts

local MOST_LOOKS = 10000  -- so that a list of chords that are over holds up nobody; what is found so is taken off it

local prefix, limit = ARGV[1], tonumber(ARGV[2])
local key = chords_key(prefix)
local found = {}
for _, group in ipairs(redis.call('ZREVRANGE', key, 0, MOST_LOOKS - 1)) do
  if #found >= limit then
    break
  end
  local chord = open_chord(prefix, group, 'zset')
  if not misplaced_chord(chord) then
    if size_of(chord) and not is_over(chord) then
      found[#found + 1] = {group, describe_chord(chord, count_parts(chord))}
    else
      redis.call('ZREM', key, group)
    end
  end
end
return found
