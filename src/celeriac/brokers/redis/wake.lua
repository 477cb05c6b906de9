-- Waking workers: for scripts that put work somewhere. Needs names.lua.
--
-- Of the workers that wait for a queue one is its lookout: it watches the lists, whoever pushes to them, and the time of
-- the first future message. The others sleep until they are rung. So a message costs the same whether ten workers wait
-- for it or a thousand.

local RING_TRIES = 16

-- Wake the worker that fell asleep last. Those that died in their sleep have nobody on their channel.
local function ring(queue)
  for _ = 1, RING_TRIES do
    local sleeper = redis.call('ZPOPMAX', idle_key(queue))[1]
    if not sleeper or redis.call('PUBLISH', wake_channel(sleeper), queue) > 0 then
      return
    end
  end
end

-- There is a new first future message: whoever waits for the time of the old one must know.
local function wake_lookout(queue)
  local lookout = redis.call('GET', lookout_key(queue))
  if not lookout or redis.call('PUBLISH', wake_channel(lookout), queue) == 0 then
    ring(queue)
  end
end

-- Stop being the lookout, where the caller is it, and have another sleeper become it.
local function hand_over(queue)
  if redis.call('GET', lookout_key(queue)) == ME then
    redis.call('DEL', lookout_key(queue))
    ring(queue)
  end
end
