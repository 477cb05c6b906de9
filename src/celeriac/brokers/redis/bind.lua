-- Declare queues as Celery's workers do. Needs names.lua.
--
-- ARGV[6...]  for each binding: key of the set, member

for at = 6, #ARGV, 2 do
  redis.call('SADD', ARGV[at], ARGV[at + 1])
end
return redis.status_reply('OK')
