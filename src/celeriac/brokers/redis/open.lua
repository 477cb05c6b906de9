-- Take a lease. Needs names.lua and lease.lua.
--
-- ARGV[6]  seconds that it lasts
-- Returns OK, or the error NAMETAKEN with the seconds that another worker's lease under this name still has.

local taken = taken_name(ME)
if taken then
  return taken
end
-- New users of Redis 7 have no channels. Better an error now than one in the middle of each settlement.
redis.call('PUBLISH', wake_channel(ME), '')
prolong(ME, ARGV[6], tonumber(ARGV[6]))
return redis.status_reply('OK')
