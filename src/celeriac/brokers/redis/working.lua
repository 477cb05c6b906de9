-- For scripts by which work goes on. A server that has reached its maxmemory refuses a script's first write if that may
-- need memory, and none after it. This first one needs none: taking, settling and renewing must go on, or memory would
-- never become free again.
redis.call('DEL', OWN .. 'nothing')
