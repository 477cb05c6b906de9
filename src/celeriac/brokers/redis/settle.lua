-- Write settlements, each whole or not at all. Needs names.lua, lease.lua, wake.lua, push.lua, result.lua, chords.lua and
-- chord_growth.lua.
--
-- ARGV[6]  number of this batch, growing
-- ARGV[7]  key that remembers a batch, and answers if it comes again or late
-- ARGV[8]  milliseconds to remember it
-- ARGV[9]  how stored results are encoded (the mark of store_result)
-- ARGV[10] number of places to look at first; then queue, step, due for each
-- then how many follow-ups may be handed on to the caller, which waits for work just now; if not 0, prefix and first number
--   of the names under which they are held, the number of steps and the steps, the number of queues that it waits for and
--   these queues
-- then the chords of the batch, as read_chords reads them
-- then the settlements, each beginning with a kind and the name under which the message is held:
--   a  acknowledge: nothing more
--   s  acknowledge with a result: key, milliseconds to keep it or -1, meta
--   h  the same for a member of a chord (the key is '' if there is no result), then its share: sender, member, root, part
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
--   w  as x for what is part of a workflow. Between the name and the action stand
--        ends:     their number; chord, claim of each
--      and behind the result
--        results:  their number; key, milliseconds, meta of each
--        starts:   their number; chord, size, seconds to keep it or -1, body or '', root_id or '', queue of each
--        grown:    as grow_chords reads them
--        shares:   their number; sender, member, root, part of each
--
-- Returns { the numbers of the settlements that were refused, from 1, as one text with commas,
--           the numbers of the follow-ups of the batch that were handed on, likewise; not if the batch comes again }
--
-- A follow-up is handed on, rather than put into its queue, where nothing else waits in that queue: it would have been the
-- caller's next message, and a chain of short tasks takes half the time.
--
-- The order inside a settlement is such that an error leaves the message held: it is written again then.

local DEAD, DEAD_ORDER = OWN .. 'dead', OWN .. 'dead:order'
local HELD, MARK = held_key(ME), ARGV[9]

local batch, answered = string.match(redis.call('GET', ARGV[7]) or '', '^(%d+):(.*)$')
if batch == ARGV[6] then
  return { answered }
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

local most, prefix, number, steps, waited_for = tonumber(next_argument()), nil, nil, {}, {}
if most > 0 then
  prefix, number = next_argument(), tonumber(next_argument())
  for n = 1, tonumber(next_argument()) do
    steps[n] = next_argument()
  end
  for _ = 1, tonumber(next_argument()) do
    waited_for[next_argument()] = true
  end
  if is_given_up(ME, number) or not remaining(ME) then
    most = 0
  end
end
local handed_on, follow_ups = {}, 0

-- Returns whether the caller has it now.
local function hand_on(queue, step, envelope)
  if most == 0 or not waited_for[queue] then
    return false
  end
  local lists = {}
  for n, step_of in ipairs(steps) do
    lists[n] = list_key(queue, step_of)
  end
  if redis.call('EXISTS', unpack(lists)) > 0 then
    return false
  end
  redis.call('HSET', HELD, prefix .. number, held_head(queue, step) .. envelope)
  handed_on[#handed_on + 1] = follow_ups
  most, number = most - 1, number + 1
  return true
end

local chords, senders = read_chords(next_argument)
if not chords then
  return senders
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

-- value: see held; holds: whether this is to be written
-- Returns whether the message is to be removed, after reading all arguments.
local function act(action, value, holds)
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
  if holds then
    bury(record, queue, '0', envelope)
  end
  return false
end

local function read_result(holds)
  local key, ttl, meta = next_argument(), next_argument(), next_argument()
  if holds then
    put(key, ttl, meta)
  end
end

local function read_follow_ups(holds)
  for _ = 1, tonumber(next_argument()) do
    local queue, step, due, place, envelope =
      next_argument(), next_argument(), next_argument(), next_argument(), next_argument()
    follow_ups = follow_ups + 1
    if holds and not (due == '' and hand_on(queue, step, envelope)) then
      push(queue, step, due, place, envelope)
    end
  end
end

-- Returns the chords that are done with, and whether each of them is claimed as it says.
local function read_ends()
  local ended, claimed = {}, true
  for n = 1, tonumber(next_argument()) do
    ended[n] = chords[tonumber(next_argument())]
    claimed = is_claimed_by(ended[n], next_argument()) and claimed
  end
  return ended, claimed
end

local function read_flow(holds)
  for _ = 1, tonumber(next_argument()) do
    read_result(holds)
  end
  for _ = 1, tonumber(next_argument()) do
    local chord, size, seconds = chords[tonumber(next_argument())], next_argument(), next_argument()
    local body, root, queue = next_argument(), next_argument(), next_argument()
    if holds then
      start_chord(chord, size, seconds, body, root, queue)
    end
  end
  grow_chords(chords, next_argument, holds)
  for _ = 1, tonumber(next_argument()) do
    local sender, member = senders[tonumber(next_argument())], next_argument()
    local root, part = next_argument(), next_argument()
    if holds then
      add_share(sender, member, root, part)
    end
  end
end

-- What is held, if it is; only true where nothing of it is needed.
local function held(field, action)
  if action == 'b' or action == 'r' or action == 'f' then
    return redis.call('HGET', HELD, field)
  end
  return redis.call('HEXISTS', HELD, field) == 1
end

-- Returns whether it was written.
local function settle_any(field, has_flow)
  local ended, claimed = {}, true
  if has_flow then
    ended, claimed = read_ends()
  end
  local action = next_argument()
  local is_fenced = field ~= ''
  local value = is_fenced and claimed and held(field, action)
  local holds = claimed and (value or not is_fenced)
  local remove = act(action, value, holds)
  if next_argument() == '1' then
    read_result(holds)
  end
  if has_flow then
    read_flow(holds)
  end
  read_follow_ups(holds)
  if holds then
    for _, chord in ipairs(ended) do
      end_chord(chord)
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
  elseif kind == 'h' then
    written = redis.call('HEXISTS', HELD, field) == 1
    if written then
      if ARGV[at] ~= '' then
        put(ARGV[at], ARGV[at + 1], ARGV[at + 2])
      end
      add_share(senders[tonumber(ARGV[at + 3])], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6])
      redis.call('HDEL', HELD, field)
    end
    at = at + 7
  else
    written = settle_any(field, kind == 'w')
  end
  if not written then
    refused[#refused + 1] = count
  end
end

for _, chord in ipairs(chords) do
  review_chord(chord, MONOTONIC)
end

local answer = table.concat(refused, ',')
redis.call('SET', ARGV[7], ARGV[6] .. ':' .. answer, 'PX', ARGV[8])
return { answer, table.concat(handed_on, ',') }
