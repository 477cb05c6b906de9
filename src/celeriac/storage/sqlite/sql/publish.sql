-- Storing messages, now or for later.

-- name: insert_message
-- 1 id, 2 queue, 3 priority, 4 head, 5 content type, 6 content encoding, 7 body
INSERT INTO message (id, queue, priority, head, content_type, content_encoding, body) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: insert_ready
-- 1 queue, 2 priority, 3 position, 4 message
INSERT INTO ready (queue, priority, position, message) VALUES (?, ?, ?, ?);

-- name: insert_future
-- 1 queue, 2 due, 3 position, 4 priority, 5 message
INSERT INTO future (queue, due, position, priority, message) VALUES (?, ?, ?, ?, ?);

-- name: waiting_for_work
-- 1 queue, 2 due (Unix time; 0 for at once), 3 monotonic now, 4 how many
-- Returns the ports of those who would sleep past it, longest waiting first.
SELECT port FROM work_bell WHERE queue = ? AND until > ? AND expires > ? ORDER BY expires LIMIT ?;

-- name: delete_bell
-- 1 queue, 2 port
DELETE FROM work_bell WHERE queue = ? AND port = ?;
