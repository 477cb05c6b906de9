-- Forget chords that are done with. Includes storage/redis/chords.lua.
--
-- KEYS[1]  any key with the prefix: a cluster finds the node by it
-- ARGV[1]  not used
-- then what read_chords reads, the number of chords to end, and for each: chord, claim
--
-- Returns the numbers of those whose claim is not the present one, from 1.

redis.call('DEL', KEYS[1])  -- it is never there: see working.lua
local at = 1
local function next_argument()
  at = at + 1
  return ARGV[at]
end

local chords, wrong = read_chords(next_argument)
if not chords then
  return wrong
end
local refused = {}
for n = 1, tonumber(next_argument()) do
  local chord, claim = chords[tonumber(next_argument())], next_argument()
  if is_claimed_by(chord, claim) then
    end_chord(chord)
  else
    refused[#refused + 1] = n
  end
end
return refused
