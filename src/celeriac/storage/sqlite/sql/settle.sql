-- What becomes of a held message. Every statement that changes `held` names lease and token: that is the fence.

-- name: let_go
-- 1 lease, 2 message, 3 token
DELETE FROM held WHERE lease = ? AND message = ? AND token = ?;

-- name: let_go_of_all
-- 1 lease, 2 JSON object of tokens by message. The number of rows tells whether all were held.
DELETE FROM held WHERE lease = ?1 AND message IN (
    SELECT h.message FROM json_each(?2) AS j
    CROSS JOIN held AS h ON h.lease = ?1 AND h.message = CAST(j.key AS INTEGER) AND h.token = j.value
);

-- name: delete_messages
-- 1 JSON object with the messages as keys
DELETE FROM message WHERE id IN (SELECT CAST(key AS INTEGER) FROM json_each(?));

-- name: is_held
-- 1 lease, 2 message, 3 token
SELECT 1 FROM held WHERE lease = ? AND message = ? AND token = ?;

-- name: mark_started
-- 1 lease, 2 message, 3 token
UPDATE held SET started = 1 WHERE lease = ? AND message = ? AND token = ?;

-- name: delete_message
-- 1 id
DELETE FROM message WHERE id = ?;

-- name: replace_content
-- 1 head, 2 content type, 3 content encoding, 4 body, 5 id
UPDATE message SET head = ?, content_type = ?, content_encoding = ?, body = ? WHERE id = ?;

-- name: set_history
-- 1 history, 2 id
UPDATE message SET history = ? WHERE id = ?;

-- name: bury
-- 1 id of the dead letter, 2 reason, 3 Unix time, 4 history, 5 message
INSERT INTO dead (id, queue, priority, reason, at, history, head, content_type, content_encoding, body)
SELECT ?, queue, priority, ?, ?, ?, head, content_type, content_encoding, body FROM message WHERE id = ?;

-- name: bury_content
-- 1 id, 2 queue, 3 priority, 4 reason, 5 Unix time, 6 history, 7 head, 8 content type, 9 content encoding, 10 body
INSERT INTO dead (id, queue, priority, reason, at, history, head, content_type, content_encoding, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: give_back
-- 1 lease, 2 message, 3 token. Back to the place it was taken from.
INSERT INTO ready (queue, priority, position, message)
SELECT m.queue, m.priority, h.position, h.message FROM held AS h CROSS JOIN message AS m ON m.id = h.message
WHERE h.lease = ? AND h.message = ? AND h.token = ?;
