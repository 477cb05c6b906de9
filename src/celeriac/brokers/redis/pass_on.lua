-- A worker was woken that has no time: wake another in its place. Needs names.lua and wake.lua.
--
-- ARGV[6...]  queues that the caller has waited for

for at = 6, #ARGV do
  redis.call('ZREM', idle_key(ARGV[at]), ME)
  if redis.call('GET', lookout_key(ARGV[at])) == ME then
    redis.call('DEL', lookout_key(ARGV[at]))
  end
  ring(ARGV[at])
end
return redis.status_reply('OK')
