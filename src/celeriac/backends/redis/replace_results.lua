-- Stores results in the place of what the client has looked at, if it is still there. Includes result.lua.
--
-- KEYS  a result's key each
-- ARGV  for each key: SHA-1 (hexadecimal) of what the client saw, or '' for nothing;
--       milliseconds to keep it or -1; its meta
-- Returns for each key: 1 stored, 0 something else is there by now

local answers = {}
for n, key in ipairs(KEYS) do
  local stored = redis.call('GET', key)
  local seen = stored and redis.sha1hex(stored) or ''
  if seen == ARGV[3 * n - 2] then
    answers[n] = put_result(key, ARGV[3 * n - 1], ARGV[3 * n])
  else
    answers[n] = 0
  end
end
return answers
