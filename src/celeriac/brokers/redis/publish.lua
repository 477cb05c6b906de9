-- Publish messages, all or none. Needs names.lua, wake.lua and push.lua.
--
-- ARGV[6...]  for each message: queue, step, due, place, envelope (see push)
-- Returns the number of messages.

local seen = {}
for at = 6, #ARGV, 5 do
  local where = ARGV[at + 1] .. ':' .. (ARGV[at + 2] == '' and 'l' or 'z') .. ARGV[at]
  if not seen[where] then
    seen[where] = true
    local wrong = misplaced(ARGV[at], ARGV[at + 1], ARGV[at + 2])
    if wrong then
      return wrong
    end
  end
end
for at = 6, #ARGV, 5 do
  push(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
end
return (#ARGV - 5) / 5
