-- Taking messages, and sleeping when there are none.

-- name: peek
-- 1 queue. Returns whether anything is ready, and the earliest due time or NULL. Takes no lock.
SELECT EXISTS (SELECT 1 FROM ready WHERE queue = ?1), (SELECT due FROM future WHERE queue = ?1 ORDER BY due LIMIT 1);

-- name: peek_at_all
-- Whether anything is stored in any queue, due or not. Takes no lock.
SELECT EXISTS (SELECT 1 FROM ready) OR EXISTS (SELECT 1 FROM future);

-- name: due
-- 1 queue, 2 Unix time, 3 limit. What is to be promoted, in due order.
SELECT due, position, priority, message FROM future WHERE queue = ? AND due <= ? ORDER BY due, position LIMIT ?;

-- name: delete_due
-- 1 queue, 2 and 3: due and position of the last one promoted
DELETE FROM future WHERE queue = ? AND (due, position) <= (?, ?);

-- name: next_level
-- 1 queue, 2 priority. The next level after that one which has messages.
SELECT priority FROM ready WHERE queue = ? AND priority > ? ORDER BY priority LIMIT 1;

-- name: read_level
-- 1 queue, 2 priority, 3 limit
SELECT r.position, m.id, m.head, m.body, m.content_type, m.content_encoding, m.history
FROM ready AS r CROSS JOIN message AS m ON m.id = r.message
WHERE r.queue = ? AND r.priority = ? ORDER BY r.position LIMIT ?;

-- name: hold_level
-- 1 lease, 2 token, 3 queue, 4 priority, 5 last position
INSERT INTO held (lease, message, token, position, started)
SELECT ?, message, ?, position, 0 FROM ready WHERE queue = ? AND priority = ? AND position <= ?;

-- name: clear_level
-- 1 queue, 2 priority, 3 last position
DELETE FROM ready WHERE queue = ? AND priority = ? AND position <= ?;

-- name: arm_bell
-- 1 queue, 2 port, 3 until, 4 expires
INSERT OR REPLACE INTO work_bell (queue, port, until, expires) VALUES (?, ?, ?, ?);

-- name: disarm_bell
-- 1 queue, 2 port
DELETE FROM work_bell WHERE queue = ? AND port = ?;

-- name: delete_stale_bells
-- 1 monotonic now, 2 the farthest end that can be true (the clock starts anew at boot)
DELETE FROM work_bell WHERE expires <= ? OR expires > ?;
