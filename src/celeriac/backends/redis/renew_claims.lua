-- Have claims last longer. Includes storage/redis/chords.lua.
--
-- KEYS[1]  any key with the prefix: a cluster finds the node by it
-- ARGV[1]  reading of the clock for claims in seconds, or '' for the server's own
-- then what read_chords reads, seconds until they run out, their number, and for each: chord, claim
--
-- Returns the numbers of those that are not the present ones, from 1.

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
local now, seconds = clock_for_claims(ARGV[1]), tonumber(next_argument())
local refused = {}
for n = 1, tonumber(next_argument()) do
  local chord, claim = chords[tonumber(next_argument())], next_argument()
  local queue = redis.call('HGET', chord.note, 'queue')
  if queue and is_claimed_by(chord, claim) then  -- without its note it is gone, though its claim may last longer
    hold_claim(chord, claim, queue, now, seconds)
  else
    refused[#refused + 1] = n
  end
end
return refused
