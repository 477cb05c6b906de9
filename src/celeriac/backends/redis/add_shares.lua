-- Add members to chords or withdraw them, then note what members have come to. Includes storage/redis/chords.lua and
-- chord_growth.lua.
--
-- KEYS[1]  any key with the prefix: a cluster finds the node by it
-- ARGV[1]  reading of the clock for claims in seconds, or '' for the server's own
-- then what read_chords reads; what grow_chords reads; the number of shares, and for each: sender, member, root, part

redis.call('DEL', KEYS[1])  -- it is never there: see working.lua
local at = 1
local function next_argument()
  at = at + 1
  return ARGV[at]
end

local chords, senders = read_chords(next_argument)
if not chords then
  return senders
end
local now = clock_for_claims(ARGV[1])
grow_chords(chords, next_argument, true)
for _ = 1, tonumber(next_argument()) do
  add_share(senders[tonumber(next_argument())], next_argument(), next_argument(), next_argument())
end
for _, chord in ipairs(chords) do
  review_chord(chord, now)
end
return #chords
