-- Publish messages, all or none, and begin chords. Needs names.lua, wake.lua, push.lua and chords.lua.
--
-- ARGV[6...]  the chords, as read_chords reads them; the number of those that begin; for each: chord, size,
--             seconds to keep it or -1, body or '', root_id or '', queue
-- then for each message: queue, step, due, place, envelope (see push)
-- Returns the number of messages.

local at = 5
local function next_argument()
  at = at + 1
  return ARGV[at]
end

local chords, misplaced_key = read_chords(next_argument)
if not chords then
  return misplaced_key
end
local starts = {}
for n = 1, tonumber(next_argument()) do
  starts[n] = {
    chords[tonumber(next_argument())], next_argument(), next_argument(), next_argument(), next_argument(), next_argument(),
  }
end
local first = at + 1

local seen = {}
for from = first, #ARGV, 5 do
  local where = ARGV[from + 1] .. ':' .. (ARGV[from + 2] == '' and 'l' or 'z') .. ARGV[from]
  if not seen[where] then
    seen[where] = true
    local wrong = misplaced(ARGV[from], ARGV[from + 1], ARGV[from + 2])
    if wrong then
      return wrong
    end
  end
end
for _, start in ipairs(starts) do
  start_chord(unpack(start))
end
for from = first, #ARGV, 5 do
  push(ARGV[from], ARGV[from + 1], ARGV[from + 2], ARGV[from + 3], ARGV[from + 4])
end
for _, chord in ipairs(chords) do
  review_chord(chord, MONOTONIC)
end
return (#ARGV - first + 1) / 5
