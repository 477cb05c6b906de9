-- Storing one result, for scripts that include this file.
--
-- Owns the rule that SUCCESS is final and what readers of results rely on: the stored meta and the message on the
-- channel of the same name. Knows nothing of task messages.
--
--   store_result(key, ttl_ms, meta, mark)
--       key     where the result is stored, and the channel on which those who wait for it listen
--       ttl_ms  milliseconds to keep it, rounded down to whole seconds but at least one; -1 to keep it for ever
--       meta    the result's meta, encoded
--       mark    the serialiser of stored metas: 'json', 'msgpack', 'pickle' or 'yaml'; '' for any other
--       returns 1   stored, and those who wait were told
--               0   dropped: what is stored is a SUCCESS
--              -1   nothing was done: only the client can tell whether what is stored is a SUCCESS (it is compressed,
--                   of another serialiser, or no result at all)
--
--   put_result(key, ttl_ms, meta)
--       the same without a look at what is stored

-- Each of these returns true for a SUCCESS, false for another state, nil where it can not tell. The status comes first
-- in what Celery and we write, so that nearly always a look at the first bytes is enough; YAML sorts the fields.
local status_is_success = {}

function status_is_success.json(stored)
  local status = string.match(stored, '^{"status": "([%w_-]+)"')
  if status then
    return status == 'SUCCESS'
  end
  local ok, fields = pcall(cjson.decode, stored)
  if ok and type(fields) == 'table' and type(fields.status) == 'string' then
    return fields.status == 'SUCCESS'
  end
  return nil
end

function status_is_success.msgpack(stored)
  if string.sub(stored, 2, 8) == '\166status' and string.byte(stored, 9) == 167 then
    return string.sub(stored, 10, 16) == 'SUCCESS'
  end
  local ok, fields = pcall(cmsgpack.unpack, stored)
  if ok and type(fields) == 'table' and type(fields.status) == 'string' then
    return fields.status == 'SUCCESS'
  end
  return nil
end

-- After the protocol's number and the length of the frame (11 bytes): a dictionary, its first key, its first value.
function status_is_success.pickle(stored)
  if string.sub(stored, 12, 23) ~= '}\148(\140\6status\148' or string.byte(stored, 24) ~= 140 then
    return nil
  end
  return string.sub(stored, 25, 33) == '\7SUCCESS\148'
end

-- A line that begins with the field's name can only be the field itself: what belongs to a value is indented.
function status_is_success.yaml(stored)
  local lines = '\n' .. stored .. '\n'
  if string.find(lines, '\nstatus: SUCCESS\n', 1, true) then
    return true
  end
  if string.find(lines, '\nstatus: %a') then
    return false
  end
  return nil
end

local function lasting(ttl_ms)
  ttl_ms = tonumber(ttl_ms)
  if ttl_ms < 0 then
    return nil
  end
  return math.max(1, math.floor(ttl_ms / 1000))
end

-- A user without the right to this channel has stored the result all the same: those who wait look by themselves.
local function tell(key, meta)
  redis.pcall('PUBLISH', key, meta)
end

local function put_result(key, ttl_ms, meta)
  local seconds = lasting(ttl_ms)
  if seconds then
    redis.call('SETEX', key, seconds, meta)
  else
    redis.call('SET', key, meta)
  end
  tell(key, meta)
  return 1
end

local function put_first_result(key, ttl_ms, meta)
  local seconds = lasting(ttl_ms)
  if seconds then
    return redis.call('SET', key, meta, 'NX', 'EX', seconds)
  end
  return redis.call('SET', key, meta, 'NX')
end

local function store_result(key, ttl_ms, meta, mark)
  if put_first_result(key, ttl_ms, meta) then  -- nearly always: one command instead of a look and a command
    tell(key, meta)
    return 1
  end
  local stored = redis.pcall('GET', key)
  local look = status_is_success[mark]
  -- pcall: a key of another type is an error, which the client meets when it looks; the rest of the batch is stored.
  if not look or type(stored) ~= 'string' then
    return -1
  end
  local final = look(stored)
  if final == nil then
    return -1
  elseif final then
    return 0
  end
  return put_result(key, ttl_ms, meta)
end
