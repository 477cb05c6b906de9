-- Chords, for scripts that include this file: how one begins, takes shares, is complete, and ends.
--
-- Owns what is written at Celery's keys of a chord, in Celery's form, and the two keys of ours beside them. Knows nothing
-- of messages.
--
-- Celery's, PREFIX celery-taskset-meta-<group>...
--   .s  number of members        .t  members that were added        .d  set: members that are counted, task_id:index
--   .j  their parts: a sorted set by index ('+inf' for none), or a list where result_chord_ordered is off
--   .c  the claim of the worker that makes the body; 'done' for a while when the chord is over
-- Ours:
--   celeriac:chord:<group>  hash: what is needed to make the body (body, task_id, root_id, queue, priority), the claim
--                           under which one of our workers makes it, and how often there was one (claims). Of a chord
--                           that one of our senders has begun: body and root_id from the beginning, first_queue and
--                           began (Unix time). Of a broken chord: why (reason). Of one that has grown: by cause, the
--                           members that it has added (added:<cause>, as msgpack) and which run of it has told that
--                           (run:<cause>) if it is not the first; by member how many have added it
--                           (adders:<task_id>), 0 if it was withdrawn
--   celeriac:joins:<queue>  sorted set: complete chords by the reading of the clock from which they may be claimed
--   celeriac:chords         sorted set: chords that our senders have begun, by the time of that
--
-- The names must agree with celeriac.storage.redis.keys.
--
-- A share of ours that completes a chord which nobody has claimed puts it among the joins. A chord that one of Celery's
-- workers has completed is claimed by it in the same step, and stays its own until that claim runs out. A broken chord is
-- among the joins whatever its members do; its claim key is set, so that no worker of Celery's makes its body.

local DONE_SECONDS = 300  -- as Celery: how long a chord that is over is known as such
local BROKEN = 'broken'  -- the claim of a broken chord that nobody has claimed yet
local LEAST_CLAIM_SECONDS = 0.001  -- or one call would claim the same chord again and again
local LOOKS_PER_START = 2  -- more than one: the list of chords stays shorter than twice what is alive, however chords end

local function chord_note_key(prefix, group) return prefix .. 'celeriac:chord:' .. group end
local function chords_key(prefix) return prefix .. 'celeriac:chords' end
local function joins_key(prefix, queue) return prefix .. 'celeriac:joins:' .. queue end

-- The caller's reading, or the server's own if that is ''.
local function clock_for_claims(given)
  if given ~= '' then
    return tonumber(given)
  end
  local now = redis.call('TIME')
  return tonumber(now[1]) + tonumber(now[2]) / 1e6
end

-- A chord as scripts handle it. `fresh` is how parts are kept if there is none yet: 'zset' or 'list'; `news` is how many
-- shares this script has added.
local function open_chord(prefix, group, fresh)
  local key = prefix .. 'celery-taskset-meta-' .. group
  return {
    group = group, prefix = prefix, fresh = fresh, saved = key, note = chord_note_key(prefix, group),
    news = 0, size = key .. '.s', added = key .. '.t', members = key .. '.d', parts = key .. '.j', claim = key .. '.c',
  }
end

local function is_of(key, wanted, other)
  local found = redis.call('TYPE', key).ok
  if found == 'none' or found == wanted or found == other then
    return true, found
  end
  return false, redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ', not a ' .. wanted)
end

-- The error reply if a key of the chord is something else, else nil. Asked before anything is written.
local function misplaced_chord(chord)
  local fits, found = is_of(chord.parts, 'zset', 'list')
  if not fits then
    return found
  end
  chord.kind = found == 'none' and chord.fresh or found  -- another worker may have another result_chord_ordered
  for key, wanted in pairs({
    [chord.size] = 'string', [chord.added] = 'string', [chord.claim] = 'string', [chord.members] = 'set',
    [chord.note] = 'hash',
  }) do
    fits, found = is_of(key, wanted)
    if not fits then
      return found
    end
  end
  return nil
end

-- Read from the script's arguments which chords it is about, and what its shares have in common:
--   number of chords; if there are any: prefix, 'zset' or 'list', group of each
--     number of senders; then chord, body, queue, priority, seconds to keep what is there (or -1) of each
-- Returns chords and senders, or nil and an error reply if one of their keys is something else.
local function read_chords(next_argument)
  local chords, senders = {}, {}
  local count = tonumber(next_argument())
  if count == 0 then
    return chords, senders
  end
  local prefix, fresh = next_argument(), next_argument()
  for n = 1, count do
    chords[n] = open_chord(prefix, next_argument(), fresh)
    local wrong = misplaced_chord(chords[n])
    if wrong then
      return nil, wrong
    end
  end
  for n = 1, tonumber(next_argument()) do
    local chord = chords[tonumber(next_argument())]
    local body, queue, priority = next_argument(), next_argument(), next_argument()
    local fits, wrong = is_of(joins_key(prefix, queue), 'zset')
    if not fits then
      return nil, wrong
    end
    local seconds = tonumber(next_argument())
    senders[n] = { chord = chord, body = body, queue = queue, priority = priority, seconds = seconds }
  end
  return chords, senders
end

local function is_over(chord)
  if chord.over == nil then
    chord.over = redis.call('GET', chord.claim) == 'done'
  end
  return chord.over
end

-- Chords that Celery's workers have ended, or whose time is over, are still listed: chance finds them.
local function tidy_list(prefix)
  local key = chords_key(prefix)
  for _, group in ipairs(redis.pcall('ZRANDMEMBER', key, LOOKS_PER_START)) do
    local chord = open_chord(prefix, group)
    if redis.call('EXISTS', chord.size) == 0 then
      redis.call('ZREM', key, group)
      if redis.pcall('HEXISTS', chord.note, 'queue') == 0 then
        redis.call('DEL', chord.note)
      end
    end
  end
end

-- The list only helps to find chords: an error is no reason to begin none, and it would leave half of a script's work.
local function list_chord(chord, began, seconds)
  local key = chords_key(chord.prefix)
  tidy_list(chord.prefix)
  local left = redis.call('PTTL', key)
  redis.pcall('ZADD', key, began, chord.group)
  if seconds < 0 then
    redis.call('PERSIST', key)
  elseif left == -2 or left >= 0 and left < seconds * 1000 then
    redis.call('EXPIRE', key, 2 * seconds)  -- a chord lasts longer with each share
  end
end

-- What makes it possible to end a chord whose members do not come.
local function note_start(chord, seconds, body, root, queue)
  local now = redis.call('TIME')
  local began = string.format('%d.%06d', now[1], now[2])
  if redis.call('HSETNX', chord.note, 'began', began) == 1 then
    redis.call('HSET', chord.note, 'first_queue', queue)
    if redis.call('HSETNX', chord.note, 'body', body) == 1 and root ~= '' then
      redis.call('HSET', chord.note, 'root_id', root)
    end
  end
  if seconds >= 0 then
    redis.call('EXPIRE', chord.note, seconds)
  else
    redis.call('PERSIST', chord.note)
  end
  list_chord(chord, began, seconds)
end

-- As Celery: whoever begins a chord again means a new run of it. Shares that came before are kept, and so is the claim of
-- one of ours: its start came twice. The first write is one that a server without memory refuses.
-- body: its signature, or '' if it is not told; root: '' if it is not known
local function start_chord(chord, size, seconds, body, root, queue)
  if tonumber(seconds) >= 0 then
    redis.call('SET', chord.size, size, 'EX', seconds)
  else
    redis.call('SET', chord.size, size)
  end
  local claim = redis.call('GET', chord.claim)
  if claim and claim ~= redis.call('HGET', chord.note, 'claim') then
    redis.call('DEL', chord.claim)
  end
  if body ~= '' then
    note_start(chord, tonumber(seconds), body, root, queue)
  end
  chord.over, chord.started = false, true
end

-- The same bytes under another index: a task that is in the header twice. Both must be there, in bytes that differ and
-- mean the same: a blank behind JSON, YAML and pickle, msgpack's longer forms of a list of four.
local function told_apart(part)
  local first = string.byte(part)
  if first == 148 then
    return '\220\0\4' .. string.sub(part, 2)
  elseif first == 220 then
    return '\221\0\0\0\4' .. string.sub(part, 4)
  end
  return part .. ' '
end

local function put_part(chord, index, part)
  if chord.kind == 'list' then
    redis.call('RPUSH', chord.parts, part)
    return
  end
  while redis.call('ZADD', chord.parts, 'NX', index, part) == 0 do
    if tonumber(redis.call('ZSCORE', chord.parts, part)) == tonumber(index) then
      return  -- a worker that does not note whom it has counted has counted this one
    end
    part = told_apart(part)
  end
end

-- It was added by a run that was lost, and not by the one that counts.
local function is_withdrawn(chord, member)
  return string.sub(member, -5) == ':+inf'
    and redis.call('HGET', chord.note, 'adders:' .. string.sub(member, 1, -6)) == '0'
end

-- member: task_id:index
-- root: the first task of the member's tree; '' if that is not known, '=' if it is the member
local function add_share(sender, member, root, part)
  local chord = sender.chord
  if is_over(chord) or is_withdrawn(chord, member) then
    return
  end
  if redis.call('SADD', chord.members, member) == 1 then
    put_part(chord, string.match(member, '^.*:(.*)$'), part)
    chord.sender, chord.last, chord.root, chord.news = sender, member, root, chord.news + 1
  elseif not chord.sender then
    chord.sender, chord.last, chord.root = sender, member, root
  end
end

local function count_parts(chord)
  if chord.kind == 'list' then
    return redis.call('LLEN', chord.parts)
  end
  return redis.call('ZCARD', chord.parts)
end

-- The number of its members; nil if the chord has not begun, or is over. Behind it whether some may have been added.
local function size_of(chord)
  local size = tonumber(redis.call('GET', chord.size))
  if not size then
    return nil, true
  end
  local grown = redis.call('GET', chord.added)
  return size + (tonumber(grown) or 0), grown
end

local function is_complete(chord)
  local size = size_of(chord)
  return size ~= nil and count_parts(chord) >= size
end

-- What is known of a chord, for those who look at it: size or nil, whether a worker makes the body, the parts or their
-- number as given, and if one of our senders has begun it queue, body and the time of that; why it was broken, if it was.
local function describe_chord(chord, parts)
  local claim = redis.call('GET', chord.claim)
  local is_claimed = claim and claim ~= 'done' and claim ~= BROKEN
  local known = redis.call('HMGET', chord.note, 'queue', 'first_queue', 'body', 'began', 'reason')
  local began = known[4]
  return {
    (size_of(chord)) or false, is_claimed and 1 or 0, parts,
    began and (known[1] or known[2]) or '', began and known[3] or '', began or '', known[5],
  }
end

-- A key that is shared lasts as long as the one that needs it longest.
local function keep_for(key, seconds)
  local left = redis.call('PTTL', key)
  if seconds < 0 then
    redis.call('PERSIST', key)
  elseif left >= 0 and left < seconds * 1000 then
    redis.call('EXPIRE', key, seconds)
  end
end

-- now: from this time on it may be claimed
local function await_join(chord, queue, seconds, now)
  local key = joins_key(chord.prefix, queue)
  local is_new = redis.call('EXISTS', key) == 0
  redis.call('ZADD', key, 'NX', string.format('%.6f', now), chord.group)
  if is_new and seconds >= 0 then
    redis.call('EXPIRE', key, seconds)
  else
    keep_for(key, seconds)
  end
end

local function note_sender(chord, sender)
  local note, task = chord.note, string.match(chord.last, '^(.*):')
  redis.call(
    'HSET', note, 'body', sender.body, 'task_id', task, 'queue', sender.queue, 'priority', sender.priority
  )
  if chord.root ~= '' then
    redis.call('HSET', note, 'root_id', chord.root == '=' and task or chord.root)
  else
    redis.call('HDEL', note, 'root_id')
  end
  if sender.seconds >= 0 then
    redis.call('EXPIRE', note, sender.seconds)
  end
end

-- After all shares: renew what the chord keeps, and have it joined if it is complete now.
local function review_shares(chord, now)
  local sender = chord.sender
  local size, has_grown = size_of(chord)
  if sender.seconds >= 0 then
    -- For as long as was said before if that is longer: some of its members may be due later.
    sender.seconds = math.max(sender.seconds, math.ceil(redis.call('PTTL', chord.size) / 1000))
    for _, key in ipairs({chord.parts, chord.size, chord.members, chord.note, has_grown and chord.added or nil}) do
      redis.call('EXPIRE', key, sender.seconds)
    end
    local left = redis.call('PTTL', chord.saved)  -- users read it too, by a time of its own that may be longer
    if left >= 0 and left < sender.seconds * 1000 then
      redis.call('EXPIRE', chord.saved, sender.seconds)
    end
  end
  local count = count_parts(chord)
  local is_short = size and count < size
  -- One that has grown may be complete without another share: when members are withdrawn.
  if is_short and (chord.news == 0 or tonumber(has_grown or 0) <= 0) or redis.call('EXISTS', chord.claim) == 1 then
    return
  end
  local queue, reason = unpack(redis.call('HMGET', chord.note, 'queue', 'reason'))
  if reason then
    return  -- it is broken, and among the joins
  end
  local was_complete = size and count - chord.news >= size
  if not queue or chord.news > 0 and not was_complete then
    note_sender(chord, sender)
    queue = sender.queue
  end
  if size and not is_short then  -- else whoever begins it is late
    await_join(chord, queue, sender.seconds, now)
  end
end

-- It has begun, or members were withdrawn.
local function review_size(chord, now)
  local queue = redis.call('HGET', chord.note, 'queue')
  if queue and is_complete(chord) then
    local left = redis.call('PTTL', chord.note)
    await_join(chord, queue, left < 0 and left or math.ceil(left / 1000), now)
  end
end

-- To be called for each chord when everything else has been done.
local function review_chord(chord, now)
  if chord.over then
    return
  elseif chord.sender then
    review_shares(chord, now)
  elseif chord.started or chord.shrunk then
    review_size(chord, now)
  end
end

-- Nobody else has claimed it since.
local function is_claimed_by(chord, claim)
  if claim == BROKEN then
    return false
  end
  local present = redis.call('GET', chord.claim)
  if present then
    return present == claim
  end
  local known = redis.call('HMGET', chord.note, 'claim', 'reason')
  return known[1] == claim and (known[2] or redis.call('EXISTS', chord.size) == 1)
end

-- It may not be claimed by others before this time.
local function put_off(chord, queue, until_when)
  redis.call('ZADD', joins_key(chord.prefix, queue), string.format('%.6f', until_when), chord.group)
end

-- It is claimed for so long from now.
local function hold_claim(chord, claim, queue, now, seconds)
  seconds = math.max(seconds, LEAST_CLAIM_SECONDS)
  redis.call('SET', chord.claim, claim, 'PX', math.ceil(seconds * 1000))
  redis.call('HSET', chord.note, 'claim', claim)
  put_off(chord, queue, now + seconds)
end

local function drop_note(chord)
  local queue = redis.call('HGET', chord.note, 'queue')
  if queue then
    redis.call('ZREM', joins_key(chord.prefix, queue), chord.group)
  end
  redis.call('DEL', chord.note)
  redis.pcall('ZREM', chords_key(chord.prefix), chord.group)
end

local function end_chord(chord)
  drop_note(chord)
  redis.call('DEL', chord.parts, chord.added, chord.size, chord.members)
  redis.call('SET', chord.claim, 'done', 'EX', DONE_SECONDS)
  chord.over = true
end
