-- Begin chords. Includes storage/redis/chords.lua.
--
-- KEYS[1]  any key with the prefix: a cluster finds the node by it
-- ARGV[1]  reading of the clock for claims in seconds, or '' for the server's own
-- then what read_chords reads, the number of chords to begin, and for each: chord, size, seconds to keep it or
-- -1, body or '', root_id or '', queue

local at = 1
local function next_argument()
  at = at + 1
  return ARGV[at]
end

local chords, wrong = read_chords(next_argument)
if not chords then
  return wrong
end
local now = clock_for_claims(ARGV[1])
for _ = 1, tonumber(next_argument()) do
  local chord = chords[tonumber(next_argument())]
  start_chord(chord, next_argument(), next_argument(), next_argument(), next_argument(), next_argument())
end
for _, chord in ipairs(chords) do
  review_chord(chord, now)
end
return #chords
