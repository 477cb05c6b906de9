-- Prolong a lease. Needs names.lua and lease.lua.
--
-- ARGV[6]  seconds that it lasts from now
-- Returns the seconds that it still had, as text; '' if it had run out. Or the error NAMETAKEN.

local left = remaining(ME)
if not left then
  local taken = taken_name(ME)
  if taken then
    return taken
  end
end
prolong(ME, ARGV[6], left)
return left and string.format('%.6f', left) or ''
