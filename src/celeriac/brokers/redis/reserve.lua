-- Take messages that are due. Needs names.lua, lease.lua, wake.lua and promote.lua.
--
-- ARGV[6]   seconds that the lease lasts, should it have to be prolonged
-- ARGV[7]   most messages
-- ARGV[8]   bytes after which no more are taken
-- ARGV[9]   prefix of the names under which they are held
-- ARGV[10]  number in the first of these names
-- ARGV[11]  milliseconds for which the caller will wait if there is nothing, and can be the lookout; 0: it will not
-- ARGV[12]  '1' if it waited before: it may be the lookout and among the idle
-- ARGV[13]  number of steps; then the steps, then the queues in the order of taking
--
-- Returns { '1' if the lease had run out, else '',
--           seconds until the first future message is due as text, or '',
--           queues that the caller is the lookout of,
--           keys that are in the way,
--           groups of envelopes, each with the name of its queue behind them }

local IDLE_MS = 60000

local seconds, limit, bytes, number = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[10])
local wait_ms, waited = tonumber(ARGV[11]), ARGV[12] == '1'
local steps, queues = {}, {}
for at = 14, 13 + ARGV[13] do
  steps[#steps + 1] = ARGV[at]
end
for at = 14 + ARGV[13], #ARGV do
  queues[#queues + 1] = ARGV[at]
end

local groups = {}

local function take(queue, step)
  local key, held, head = list_key(queue, step), held_key(ME), held_head(queue, step)
  local count = 1  -- growing, so that a few very large messages do not make one huge reply
  while limit > 0 and bytes > 0 do
    local wanted = math.min(count, limit)
    local envelopes = redis.pcall('RPOP', key, wanted)
    if envelopes and envelopes.err then
      misfits[#misfits + 1] = key
      return
    elseif not envelopes or #envelopes == 0 then
      return
    end
    local found, fields = #envelopes, {}
    for at, envelope in ipairs(envelopes) do
      fields[2 * at - 1] = ARGV[9] .. number
      fields[2 * at] = head .. envelope
      number = number + 1
      bytes = bytes - #envelope
    end
    redis.call('HSET', held, unpack(fields))
    limit = limit - found
    envelopes[found + 1] = queue
    groups[#groups + 1] = envelopes
    if found < wanted then
      return
    end
    count = math.min(count * 4, 512)
  end
end

if is_given_up(ME, number) then
  return { '', '', {}, {} }
end
local lapsed = ''
if not remaining(ME) then
  local taken = taken_name(ME)
  if taken then
    return taken
  end
  lapsed = '1'
end

for _, queue in ipairs(queues) do
  promote(queue)
end
for _, step in ipairs(steps) do
  for _, queue in ipairs(queues) do
    if limit > 0 and bytes > 0 then
      take(queue, step)
    end
  end
end

if #groups > 0 then
  if lapsed == '1' then
    prolong(ME, seconds, nil)
  end
  local is_full = limit <= 0 or bytes <= 0
  for _, queue in ipairs(queues) do
    if waited then
      redis.call('ZREM', idle_key(queue), ME)
      if is_full then
        hand_over(queue)
      end
    end
    if is_full then
      for _, step in ipairs(steps) do
        local length = redis.pcall('LLEN', list_key(queue, step))
        if type(length) == 'number' and length > 0 then
          ring(queue)
          break
        end
      end
    end
  end
  return { lapsed, '', {}, misfits, unpack(groups) }
end

local watched, first = {}, nil
if wait_ms > 0 then
  for _, queue in ipairs(queues) do
    redis.call('ZADD', idle_key(queue), string.format('%.6f', WALL), ME)
    redis.call('PEXPIRE', idle_key(queue), IDLE_MS)
    local lookout = redis.call('GET', lookout_key(queue))
    if not lookout or lookout == ME then
      redis.call('SET', lookout_key(queue), ME, 'PX', wait_ms)
      watched[#watched + 1] = queue
      local score = redis.pcall('ZRANGE', due_key(queue), 0, 0, 'WITHSCORES')[2]
      if score and (not first or tonumber(score) < tonumber(first)) then
        first = score
      end
    end
  end
end
return { '', first and string.format('%.6f', tonumber(first) - WALL) or '', watched, misfits }
