-- Chords: shares, claims, ends. `now` is a Unix time, `monotonic` a reading of the monotonic clock.

-- name: read
-- 1 JSON array of group ids
SELECT c.group_id, c.id, c.size, c.grown, c.shares, c.ended, c.expires
FROM json_each(?) AS j CROSS JOIN chord AS c ON c.group_id = j.value;

-- name: disown
-- 1 id. Its time is over; the sweep deletes it.
UPDATE chord SET group_id = NULL, expires = 0 WHERE id = ?;

-- name: write
-- Rows of id, group id, size, grown, shares, ended, expires.
INSERT INTO chord (id, group_id, size, grown, shares, ended, expires) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE
SET size = excluded.size, grown = excluded.grown, shares = excluded.shares, ended = excluded.ended,
expires = excluded.expires;

-- name: insert_shares
-- Rows of chord, place, task id, part. Returns those that are new: the others have been counted.
INSERT OR IGNORE INTO chord_share (chord, place, task_id, part) VALUES (?, ?, ?, ?) RETURNING chord, place, task_id;

-- name: added
-- 1 chord, 2 cause. The members that it has added, and whether they have given their share.
SELECT m.task_id, s.chord IS NOT NULL FROM chord_member AS m
LEFT JOIN chord_share AS s ON s.chord = m.chord AND s.place = 9e999 AND s.task_id = m.task_id
WHERE m.chord = ? AND m.cause = ? AND m.counted = 1;

-- name: write_members
-- Rows of chord, cause, task id, counted.
INSERT INTO chord_member (chord, cause, task_id, counted) VALUES (?, ?, ?, ?)
ON CONFLICT (chord, cause, task_id) DO UPDATE SET counted = excluded.counted;

-- name: note_withdrawn
-- Rows of chord, cause, task id, 0. What is known of them stays.
INSERT OR IGNORE INTO chord_member (chord, cause, task_id, counted) VALUES (?, ?, ?, ?);

-- name: awaited
-- 1 chord, 2 JSON array of task ids. How many of them somebody has added and not withdrawn.
SELECT COUNT(*) FROM json_each(?2) AS j WHERE EXISTS (
    SELECT 1 FROM chord_member AS m WHERE m.chord = ?1 AND m.task_id = j.value AND m.counted = 1
);

-- name: last_run
-- 1 chord, 2 cause
SELECT run FROM chord_cause WHERE chord = ? AND cause = ?;

-- name: write_run
-- 1 chord, 2 cause, 3 run
INSERT INTO chord_cause (chord, cause, run) VALUES (?, ?, ?) ON CONFLICT (chord, cause) DO UPDATE SET run = excluded.run;

-- name: is_awaited
-- 1 chord, 2 task id. 1 if somebody has added it, 0 if it was withdrawn, NULL if nothing is known of it.
SELECT MAX(counted) FROM chord_member WHERE chord = ? AND task_id = ?;

-- name: note_start
-- Rows of chord, queue, task id (empty), root id, body, began. What members have told stays.
INSERT INTO chord_join (chord, queue, task_id, root_id, body, began, complete, claims, seconds)
VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0)
ON CONFLICT (chord) DO UPDATE SET began = excluded.began WHERE began IS NULL;

-- name: write_join
-- Rows of chord, queue, task id, root id, body, priority, complete, claims (0), seconds (0)
INSERT INTO chord_join (chord, queue, task_id, root_id, body, priority, complete, claims, seconds)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (chord) DO UPDATE SET queue = excluded.queue, task_id = excluded.task_id, root_id = excluded.root_id,
body = excluded.body, priority = excluded.priority, complete = excluded.complete
WHERE reason IS NULL;

-- name: set_complete
-- 1 complete, 2 chord
UPDATE chord_join SET complete = ? WHERE chord = ? AND reason IS NULL;

-- name: break
-- 1 reason, 2 queue, 3 group id, 4 now
UPDATE chord_join SET complete = 1, reason = ?, queue = ?
WHERE chord = (SELECT id FROM chord WHERE group_id = ? AND (expires IS NULL OR expires > ?))
AND (complete = 0 OR reason IS NOT NULL);

-- name: any_to_claim
-- 1 JSON array of queues, 2 now, 3 monotonic. Takes no lock.
SELECT EXISTS (
    SELECT 1 FROM json_each(?1) AS q
    CROSS JOIN chord_join AS j ON j.queue = q.value AND j.complete = 1
    CROSS JOIN chord AS c ON c.id = j.chord
    WHERE (j.ends IS NULL OR j.ends <= ?3 OR j.ends > ?3 + j.seconds) AND (c.expires IS NULL OR c.expires > ?2)
);

-- name: to_claim
-- 1 queue, 2 now, 3 monotonic, 4 limit. In the order in which they came.
SELECT c.group_id, c.id, j.claims, j.body, j.task_id, j.root_id, j.queue, j.reason, j.priority
FROM chord_join AS j CROSS JOIN chord AS c ON c.id = j.chord
WHERE j.queue = ?1 AND j.complete = 1 AND (j.ends IS NULL OR j.ends <= ?3 OR j.ends > ?3 + j.seconds)
AND (c.expires IS NULL OR c.expires > ?2)
ORDER BY j.chord LIMIT ?4;

-- name: claim
-- 1 claim, 2 claims, 3 seconds, 4 ends, 5 chord
UPDATE chord_join SET claim = ?, claims = ?, seconds = ?, ends = ? WHERE chord = ?;

-- name: renew
-- 1 seconds, 2 ends, 3 chord
UPDATE chord_join SET seconds = ?, ends = ? WHERE chord = ?;

-- name: claimed
-- 1 group id, 2 claim, 3 now. The chord, if this is its claim.
SELECT c.id FROM chord AS c CROSS JOIN chord_join AS j ON j.chord = c.id
WHERE c.group_id = ? AND j.claim = ? AND (c.expires IS NULL OR c.expires > ?);

-- name: delete_shares
-- 1 chord
DELETE FROM chord_share WHERE chord = ?;

-- name: delete_members
-- 1 chord
DELETE FROM chord_member WHERE chord = ?;

-- name: delete_causes
-- 1 chord
DELETE FROM chord_cause WHERE chord = ?;

-- name: delete_join
-- 1 chord
DELETE FROM chord_join WHERE chord = ?;

-- name: end
-- 1 expires, 2 chord
UPDATE chord SET size = NULL, grown = 0, shares = 0, ended = 1, expires = ? WHERE id = ?;

-- name: state
-- 1 group id, 2 now. One row for each part, in their order, or one with NULL.
SELECT c.size + c.grown, j.seconds, j.ends, s.part FROM chord AS c
LEFT JOIN chord_join AS j ON j.chord = c.id
LEFT JOIN chord_share AS s ON s.chord = c.id
WHERE c.group_id = ? AND (c.expires IS NULL OR c.expires > ?)
ORDER BY s.place, s.task_id;

-- name: body
-- 1 group id, 2 now. What is known of the body, from the beginning on.
SELECT CASE WHEN j.began IS NULL THEN '' ELSE j.queue END, CASE WHEN j.began IS NULL THEN X'' ELSE j.body END,
j.began, j.reason
FROM chord AS c CROSS JOIN chord_join AS j ON j.chord = c.id
WHERE c.group_id = ? AND (c.expires IS NULL OR c.expires > ?);

-- name: open
-- 1 now, 2 limit. Those that have begun, newest first.
SELECT c.group_id, c.size + c.grown, c.shares, j.seconds, j.ends,
CASE WHEN j.began IS NULL THEN '' ELSE j.queue END, CASE WHEN j.began IS NULL THEN X'' ELSE j.body END,
j.began, j.reason
FROM chord AS c LEFT JOIN chord_join AS j ON j.chord = c.id
WHERE c.size IS NOT NULL AND c.group_id IS NOT NULL AND (c.expires IS NULL OR c.expires > ?)
ORDER BY c.id DESC LIMIT ?;

-- name: expired
-- 1 now, 2 limit
SELECT id FROM chord WHERE expires <= ? ORDER BY expires LIMIT ?;

-- name: sweep_shares
-- 1 JSON array of chords, 2 limit
DELETE FROM chord_share WHERE (chord, place, task_id) IN (
    SELECT s.chord, s.place, s.task_id FROM json_each(?) AS j CROSS JOIN chord_share AS s ON s.chord = j.value LIMIT ?
);

-- name: sweep_members
-- 1 JSON array of chords
DELETE FROM chord_member WHERE chord IN (SELECT value FROM json_each(?));

-- name: sweep_causes
-- 1 JSON array of chords
DELETE FROM chord_cause WHERE chord IN (SELECT value FROM json_each(?));

-- name: sweep_joins
-- 1 JSON array of chords
DELETE FROM chord_join WHERE chord IN (SELECT value FROM json_each(?));

-- name: sweep_chords
-- 1 JSON array of chords. Those whose shares are gone.
DELETE FROM chord WHERE id IN (
    SELECT j.value FROM json_each(?) AS j WHERE NOT EXISTS (SELECT 1 FROM chord_share AS s WHERE s.chord = j.value)
);
