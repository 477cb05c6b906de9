-- Store the list of a group's members and tell its channel, as Celery does. Includes storage/redis/result.lua.
--
-- KEYS[1]  where
-- ARGV[1]  milliseconds to keep it, or -1
-- ARGV[2]  the list
-- Returns 1.

return put_result(KEYS[1], tonumber(ARGV[1]), ARGV[2])
