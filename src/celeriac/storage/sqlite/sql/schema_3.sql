-- What schema 3 adds: members of chords that were added to them, and the priority of the member that completes a chord.
-- Run after schema_2.sql on a new file.

-- name: chord_member
-- cause: who has added it. counted: 0 if that one has withdrawn it. A chord has grown by the members that somebody has
-- added and not withdrawn (chord.grown); shares of those that everybody has withdrawn are dropped.
CREATE TABLE chord_member (
    chord INTEGER NOT NULL,
    cause TEXT NOT NULL,
    task_id TEXT NOT NULL,
    counted INTEGER NOT NULL,
    PRIMARY KEY (chord, cause, task_id)
) WITHOUT ROWID;

-- name: chord_member_by_task
CREATE INDEX chord_member_by_task ON chord_member (chord, task_id, counted);

-- name: chord_cause
-- run: the last one that has told what it adds, if it is not the first.
CREATE TABLE chord_cause (
    chord INTEGER NOT NULL,
    cause TEXT NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY (chord, cause)
) WITHOUT ROWID;

-- name: priority_of_join
ALTER TABLE chord_join ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
