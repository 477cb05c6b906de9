-- Future messages whose time has come: for scripts that put them into their lists. Needs names.lua.

local PROMOTED_AT_ONCE = 1000

-- Keys that are something else than they should be. Their queues are left alone, the others must not suffer.
local misfits = {}

local function promote(queue)
  local key, count = due_key(queue), 0
  local due = redis.pcall('ZRANGEBYSCORE', key, '-inf', string.format('%.6f', WALL), 'LIMIT', 0, PROMOTED_AT_ONCE)
  if due.err then
    misfits[#misfits + 1] = key
    return
  end
  for _, member in ipairs(due) do
    local step, envelope = string.match(member, '^[^:]*:(%d+):(.*)$')
    if not step then  -- somebody else's: whoever takes it finds that it is no message, and buries it
      step, envelope = '0', member
    end
    local pushed = redis.pcall('LPUSH', list_key(queue, step), envelope)
    if type(pushed) == 'table' then
      misfits[#misfits + 1] = list_key(queue, step)
      break
    end
    count = count + 1
  end
  if count > 0 then
    redis.call('ZREMRANGEBYRANK', key, 0, count - 1)
  end
end
