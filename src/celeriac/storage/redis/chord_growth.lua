-- Members that are added to chords while their headers run. Needs chords.lua.
--
-- Celery's workers count them in .t, without their names. Ours do so as well, once for each name: a run that adds them and
-- is lost may run again after they were counted.

local GROWN_SECONDS = 86400  -- for members added to a chord of which nothing else is known

-- What is new of a chord lasts as long as the rest.
local function keep_with(chord, key)
  local left = redis.call('PTTL', chord.size)
  if left == -2 then
    redis.call('EXPIRE', key, GROWN_SECONDS)
  elseif left >= 0 then
    redis.call('PEXPIRE', key, left)
  end
end

-- One more has added a member, or one less: whoever is the first or was the last changes the size of the chord.
local function count_adder(chord, member, change)
  local adders = redis.call('HINCRBY', chord.note, 'adders:' .. member, change)
  if adders == (change > 0 and 1 or 0) then
    redis.call('INCRBY', chord.added, change)
  end
end

-- Returns the list that is to be kept for the cause.
-- before, members: task ids that it has added so far, and that it adds by now
local function count_members(chord, before, members)
  local was_named, is_named, kept = {}, {}, {}
  for _, member in ipairs(before) do
    was_named[member] = true
  end
  for _, member in ipairs(members) do
    if not is_named[member] then
      kept[#kept + 1], is_named[member] = member, true
      if not was_named[member] then
        count_adder(chord, member, 1)
      end
    end
  end
  for _, member in ipairs(before) do
    if not is_named[member] then
      if redis.call('SISMEMBER', chord.members, member .. ':+inf') == 1 then
        kept[#kept + 1] = member
      else
        count_adder(chord, member, -1)
        chord.shrunk = true
      end
    end
  end
  return kept
end

-- No later run of the cause has told what it adds. Notes that this one has.
local function is_last_run(chord, cause, run)
  local field = 'run:' .. cause
  local last = tonumber(redis.call('HGET', chord.note, field) or 0)
  if run > last then
    redis.call('HSET', chord.note, field, string.format('%.0f', run))
  end
  return run >= last
end

-- These are all members that the cause adds: those of before that are not named now are withdrawn, unless they have come.
-- run: which one of the cause says so; after a later one it says nothing
local function grow_chord(chord, cause, run, members)
  local is_new, has_note = redis.call('EXISTS', chord.added) == 0, redis.call('EXISTS', chord.note) == 1
  local is_known = has_note or redis.call('EXISTS', chord.size) == 1
  if is_over(chord) or is_new and #members == 0 and (run == 0 or not is_known) then
    return
  end
  if not is_last_run(chord, cause, run) then
    for _, member in ipairs(members) do
      redis.call('HSETNX', chord.note, 'adders:' .. member, 0)  -- it may be sent all the same
    end
    return
  end
  local field = 'added:' .. cause
  local packed = redis.call('HGET', chord.note, field)
  local kept = count_members(chord, packed and cmsgpack.unpack(packed) or {}, members)
  if packed or #kept > 0 then
    redis.call('HSET', chord.note, field, cmsgpack.pack(kept))
  end
  if is_new then
    keep_with(chord, chord.added)
  end
  if not has_note then
    keep_with(chord, chord.note)
  end
end

-- Read from the script's arguments: how often that is told, then each time chord, cause, run, number of members, task ids.
-- holds: whether it is to be done
local function grow_chords(chords, next_argument, holds)
  for _ = 1, tonumber(next_argument()) do
    local chord, cause, run = chords[tonumber(next_argument())], next_argument(), tonumber(next_argument())
    local members = {}
    for n = 1, tonumber(next_argument()) do
      members[n] = next_argument()
    end
    if holds then
      grow_chord(chord, cause, run, members)
    end
  end
end
