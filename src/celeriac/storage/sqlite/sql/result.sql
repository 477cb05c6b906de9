-- Results and who waits for them. Times are Unix times.

-- name: store
-- Rows of task id, status, expires, meta; then now. SUCCESS is final for as long as it is kept.
INSERT INTO result (task_id, status, expires, meta) VALUES (?, ?, ?, ?)
ON CONFLICT (task_id) DO UPDATE SET status = excluded.status, expires = excluded.expires, meta = excluded.meta
WHERE result.status <> 'SUCCESS' OR result.expires <= ?;

-- name: load
-- 1 task id, 2 now
SELECT task_id, status, expires, meta FROM result WHERE task_id = ? AND (expires IS NULL OR expires > ?);

-- name: load_many
-- 1 JSON array of task ids, 2 now
SELECT r.task_id, r.status, r.expires, r.meta FROM json_each(?) AS j CROSS JOIN result AS r ON r.task_id = j.value
WHERE r.expires IS NULL OR r.expires > ?;

-- name: forget
-- 1 task id
DELETE FROM result WHERE task_id = ?;

-- name: sweep
-- 1 now, 2 limit
DELETE FROM result WHERE id IN (SELECT id FROM result WHERE expires <= ? ORDER BY expires LIMIT ?);

-- name: anyone_waiting
SELECT EXISTS (SELECT 1 FROM result_bell);

-- name: waiting_for_result
-- 1 JSON array of task ids
SELECT b.task_id, b.port FROM json_each(?) AS j CROSS JOIN result_bell AS b ON b.task_id = j.value;

-- name: delete_bells
-- 1 task id. All who wait for it are woken.
DELETE FROM result_bell WHERE task_id = ?;

-- name: arm_bell
-- 1 task id, 2 port, 3 expires (monotonic)
INSERT OR REPLACE INTO result_bell (task_id, port, expires) VALUES (?, ?, ?);

-- name: disarm_bell
-- 1 task id, 2 port
DELETE FROM result_bell WHERE task_id = ? AND port = ?;

-- name: delete_stale_bells
-- 1 monotonic now, 2 the farthest end that can be true (the clock starts anew at boot)
DELETE FROM result_bell WHERE expires <= ? OR expires > ?;
