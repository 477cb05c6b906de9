-- Write settlements, each whole or not at all. Needs names.lua, wake.lua, push.lua and result.lua.
--
-- ARGV[6]  number of this batch, growing
-- ARGV[7]  key that remembers a batch, and answers if it comes again or late
-- ARGV[8]  milliseconds to remember it
-- ARGV[9]  how stored results are encoded (the mark of store_result)
-- ARGV[10] number of places to look at first; then queue, step, due for each
-- then the settlements, each beginning with a kind and the name under which the message is held:
--   a  acknowledge: nothing more
--   s  acknowledge with a result: key, milliseconds to keep it or -1, meta
--   x  anything else: action, its arguments, then result and follow-ups
--        actions:  a                            acknowledge
--                  k                            keep
--                  b  record                    bury: what is known of the death, one line of JSON
--                  r  due, place, envelope      give back, in another envelope unless it is '', to be due at a time
--                  f  envelope                  give back to the front, in another envelope unless it is ''
--                  u                            there is no lease to look at (the held name is ''), as k
--                  U  record, queue, envelope   the same, and bury
--        result:   '0', or '1' and key, milliseconds, meta
--        follow-ups: their number; queue, step, due, place, envelope of each
--
-- Returns the numbers of the settlements that were refused, from 1, as one text with commas.
--
-- The order inside a settlement is such that an error leaves the message held: it is written again then.

local DEAD, DEAD_ORDER = OWN .. 'dead', OWN .. 'dead:order'
local HELD, MARK = held_key(ME), ARGV[9]

local batch, answered = string.match(redis.call('GET', ARGV[7]) or '', '^(%d+):(.*)$')
if batch == ARGV[6] then
  return answered
elseif batch and tonumber(batch) > tonumber(ARGV[6]) then
  -- The caller gives a place in its memory to another batch only when this one was answered, or given up.
  return redis.error_reply('LATE batch ' .. ARGV[6] .. ' of settlements comes after ' .. batch)
end

local at = 11
local function next_argument()
  at = at + 1
  return ARGV[at - 1]
end

for _ = 1, tonumber(ARGV[10]) do
  local wrong = misplaced(next_argument(), next_argument(), next_argument())
  if wrong then
    return wrong
  end
end

local function put(key, ttl, meta)
  if store_result(key, tonumber(ttl), meta, MARK) == -1 then
    put_result(key, tonumber(ttl), meta)  -- what is stored there is no result that could be read
  end
end

local function bury(record, queue, step, envelope)
  local newest = redis.call('ZRANGE', DEAD_ORDER, -1, -1, 'WITHSCORES')[2]
  local tag = math.max(math.floor(WALL * 1e6), newest and tonumber(newest) + 1 or 0)
  local text = string.format('%.0f', tag)
  redis.call('HSET', DEAD, text, record .. '\n' .. held_head(queue, step) .. envelope)
  redis.call('ZADD', DEAD_ORDER, text, text .. ':' .. queue)
end

local function give_back(value, due, place, envelope)
  local queue, step, as_held = parse_held(value)
  push(queue, step, due, place, envelope == '' and as_held or envelope)
end

local function give_back_first(value, envelope)
  local queue, step, as_held = parse_held(value)
  redis.call('RPUSH', list_key(queue, step), envelope == '' and as_held or envelope)
end

-- Returns whether the message is to be removed, after reading all arguments; nil where there was none to settle.
local function act(action, value)
  if action == 'a' then
    return true
  elseif action == 'k' or action == 'u' then
    return false
  elseif action == 'b' then
    local record = next_argument()
    if value then
      local queue, step, envelope = parse_held(value)
      bury(record, queue, step, envelope)
    end
    return true
  elseif action == 'r' then
    local due, place, envelope = next_argument(), next_argument(), next_argument()
    if value then
      give_back(value, due, place, envelope)
    end
    return true
  elseif action == 'f' then
    local envelope = next_argument()
    if value then
      give_back_first(value, envelope)
    end
    return true
  end
  local record, queue, envelope = next_argument(), next_argument(), next_argument()
  bury(record, queue, '0', envelope)
  return false
end

-- Returns whether it was written.
local function settle_any(field)
  local action = next_argument()
  local is_fenced = field ~= ''
  local value = is_fenced and redis.call('HGET', HELD, field)
  local holds = value or not is_fenced
  local remove = act(action, value)
  local has_result = next_argument() == '1'
  if has_result then
    local key, ttl, meta = next_argument(), next_argument(), next_argument()
    if holds then
      put(key, ttl, meta)
    end
  end
  for _ = 1, tonumber(next_argument()) do
    local queue, step, due, place, envelope =
      next_argument(), next_argument(), next_argument(), next_argument(), next_argument()
    if holds then
      push(queue, step, due, place, envelope)
    end
  end
  if remove and value then
    redis.call('HDEL', HELD, field)
  end
  return holds
end

local refused, count = {}, 0
while at <= #ARGV do
  local kind, field = ARGV[at], ARGV[at + 1]
  at = at + 2
  count = count + 1
  local written
  if kind == 'a' then
    written = redis.call('HDEL', HELD, field) == 1
  elseif kind == 's' then
    written = redis.call('HEXISTS', HELD, field) == 1
    if written then
      put(ARGV[at], ARGV[at + 1], ARGV[at + 2])
      redis.call('HDEL', HELD, field)
    end
    at = at + 3
  else
    written = settle_any(field)
  end
  if not written then
    refused[#refused + 1] = count
  end
end

local answer = table.concat(refused, ',')
redis.call('SET', ARGV[7], ARGV[6] .. ':' .. answer, 'PX', ARGV[8])
return answer
