-- Leases, and taking over what dead workers held. Times are readings of the monotonic clock.

-- name: all_leases
SELECT id, owner, seconds, ends FROM lease;

-- name: read_lease
-- 1 id
SELECT seconds, ends FROM lease WHERE id = ?;

-- name: take_lease
-- 1 id, 2 owner, 3 seconds, 4 ends
INSERT OR REPLACE INTO lease (id, owner, seconds, ends) VALUES (?, ?, ?, ?);

-- name: drop_lease
-- 1 id
DELETE FROM lease WHERE id = ?;

-- name: holds_anything
-- 1 lease
SELECT EXISTS (SELECT 1 FROM held WHERE lease = ?);

-- name: read_held
-- 1 lease, 2 limit
SELECT h.position, m.id, m.head, m.body, m.content_type, m.content_encoding, m.history, m.queue, m.priority, h.started
FROM held AS h CROSS JOIN message AS m ON m.id = h.message
WHERE h.lease = ? ORDER BY h.message LIMIT ?;

-- name: take_over
-- 1 new lease, 2 new token, 3 old lease, 4 the last message
UPDATE held SET lease = ?, token = ? WHERE lease = ? AND message <= ?;

-- name: count_held
-- 1 lease. Returns queue and number.
SELECT m.queue, COUNT(*) FROM held AS h CROSS JOIN message AS m ON m.id = h.message WHERE h.lease = ? GROUP BY m.queue;

-- name: give_back_all
-- 1 lease
INSERT INTO ready (queue, priority, position, message)
SELECT m.queue, m.priority, h.position, h.message FROM held AS h CROSS JOIN message AS m ON m.id = h.message
WHERE h.lease = ?;

-- name: let_go_all
-- 1 lease
DELETE FROM held WHERE lease = ?;
