-- Saved groups. Times are Unix times.

-- name: save
-- 1 group id, 2 expires, 3 meta
INSERT INTO saved_group (group_id, expires, meta) VALUES (?, ?, ?)
ON CONFLICT (group_id) DO UPDATE SET expires = excluded.expires, meta = excluded.meta;

-- name: load
-- 1 group id, 2 now
SELECT meta FROM saved_group WHERE group_id = ? AND (expires IS NULL OR expires > ?);

-- name: forget
-- 1 group id
DELETE FROM saved_group WHERE group_id = ?;

-- name: sweep
-- 1 now, 2 limit
DELETE FROM saved_group WHERE id IN (SELECT id FROM saved_group WHERE expires <= ? ORDER BY expires LIMIT ?);
