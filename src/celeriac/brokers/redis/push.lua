-- Placing messages: for scripts that publish. Needs names.lua and wake.lua.

-- Put an envelope at the back of a list, or among the future ones if it has a time.
--   due    Unix time, or '' for at once
--   place  text that sorts messages of the same time by their order of publishing
local function push(queue, step, due, place, envelope)
  if due == '' then
    redis.call('LPUSH', list_key(queue, step), envelope)
    return
  end
  local key = due_key(queue)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', key, due, place .. ':' .. step .. ':' .. envelope)
  if not first or tonumber(due) < tonumber(first) then
    wake_lookout(queue)
  end
end

-- The error reply if one of the messages could not be placed because its key is something else, else nil. Asked before
-- anything is written: a script that fails half-way leaves what it has done.
local function misplaced(queue, step, due)
  local key, wanted = list_key(queue, step), 'list'
  if due ~= '' then
    key, wanted = due_key(queue), 'zset'
  end
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ', not a ' .. wanted)
  end
  return nil
end
