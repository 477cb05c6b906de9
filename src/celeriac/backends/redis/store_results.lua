-- Stores results, except where a SUCCESS is stored already, and tells those who wait for them. Includes result.lua.
--
-- KEYS  a result's key each
-- ARGV  1: the serialiser of stored metas, or '' (see result.lua)
--       then for each key: milliseconds to keep it or -1, its meta
-- Returns for each key what store_result says: 1 stored, 0 there is a SUCCESS, -1 the client has to look

local answers = {}
for n, key in ipairs(KEYS) do
  answers[n] = store_result(key, ARGV[2 * n], ARGV[2 * n + 1], ARGV[1])
end
return answers
