-- Prolong a lease. Needs names.lua, lease.lua and promote.lua.
--
-- ARGV[6]     seconds that it lasts from now
-- ARGV[7...]  queues whose future messages are looked after: while this worker is busy it takes nothing, and a worker of
--             Celery's that has time does not know of them
-- Returns the seconds that it still had, as text; '' if it had run out. Or the error NAMETAKEN.

local left = remaining(ME)
if not left then
  local taken = taken_name(ME)
  if taken then
    return taken
  end
end
prolong(ME, ARGV[6], left)
for at = 7, #ARGV do
  promote(ARGV[at])
end
return left and string.format('%.6f', left) or ''
