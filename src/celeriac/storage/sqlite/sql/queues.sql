-- Looking after queues and dead letters.

-- name: depth
-- 1 queue
SELECT (SELECT COUNT(*) FROM ready WHERE queue = ?1) + (SELECT COUNT(*) FROM future WHERE queue = ?1);

-- name: ready_ids
-- 1 queue, 2 limit
SELECT priority, position, message FROM ready WHERE queue = ? ORDER BY priority, position LIMIT ?;

-- name: delete_ready
-- 1 queue, 2 and 3: priority and position of the last one
DELETE FROM ready WHERE queue = ? AND (priority, position) <= (?, ?);

-- name: future_ids
-- 1 queue, 2 limit
SELECT due, position, message FROM future WHERE queue = ? ORDER BY due, position LIMIT ?;

-- name: delete_future
-- 1 queue, 2 and 3: due and position of the last one
DELETE FROM future WHERE queue = ? AND (due, position) <= (?, ?);

-- name: dead_letters
-- 1 limit, 2 offset. Newest first.
SELECT id, queue, priority, reason, at, head, content_type, content_encoding, body, history
FROM dead ORDER BY id DESC LIMIT ? OFFSET ?;

-- name: dead_letters_of
-- 1 queue, 2 limit, 3 offset
SELECT id, queue, priority, reason, at, head, content_type, content_encoding, body, history
FROM dead WHERE queue = ? ORDER BY id DESC LIMIT ? OFFSET ?;

-- name: revive
-- 1 new id, 2 id of the dead letter. The history is left behind.
INSERT INTO message (id, queue, priority, head, content_type, content_encoding, body)
SELECT ?, queue, priority, head, content_type, content_encoding, body FROM dead WHERE id = ?
RETURNING queue, priority;

-- name: delete_dead
-- 1 id
DELETE FROM dead WHERE id = ?;

-- name: purge_dead
DELETE FROM dead;

-- name: purge_dead_of
-- 1 queue
DELETE FROM dead WHERE queue = ?;
