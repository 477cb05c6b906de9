-- What schema 2 adds: chords and saved groups. Run after schema.sql on a new file, and alone on one of schema 1.
--
-- A chord's numbers and its body are in tables of their own: the numbers change with each batch of shares, the body is
-- wide and is written when somebody is about to need it.

-- name: chord
-- group_id: NULL when the chord's time was over and another one has taken its name; the sweep deletes it. size: NULL
-- until it begins. shares: how many rows of chord_share it has; changed only with them. ended: kept so that late shares
-- are dropped. expires: Unix time, NULL to keep it.
CREATE TABLE chord (
    id INTEGER PRIMARY KEY,
    group_id TEXT UNIQUE,
    size INTEGER,
    grown INTEGER NOT NULL,
    shares INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    expires REAL
);

-- name: chord_by_expiry
CREATE INDEX chord_by_expiry ON chord (expires) WHERE expires IS NOT NULL;

-- name: chord_share
-- What members have come to. The key is the order of the parts; place: infinity for members that were added later.
CREATE TABLE chord_share (
    chord INTEGER NOT NULL,
    place REAL NOT NULL,
    task_id TEXT NOT NULL,
    part BLOB NOT NULL,
    PRIMARY KEY (chord, place, task_id)
) WITHOUT ROWID;

-- name: chord_join
-- What is needed to send the body, and who is at it. A row is there when the body is known: from the beginning if that
-- told it, else when the chord is complete, or may be as soon as it begins. task_id: empty until a member has told it.
-- began: Unix time, NULL if whoever began the chord did not tell the body. reason: why the body fails, if the chord was
-- broken; it is complete then and stays so. seconds and ends: of the claim, by the monotonic clock as those of leases.
CREATE TABLE chord_join (
    chord INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    task_id TEXT NOT NULL,
    root_id TEXT,
    body BLOB NOT NULL,
    began REAL,
    complete INTEGER NOT NULL,
    reason TEXT,
    claim TEXT,
    claims INTEGER NOT NULL,
    seconds REAL NOT NULL,
    ends REAL
);

-- name: complete_chord
CREATE INDEX complete_chord ON chord_join (queue, chord) WHERE complete = 1;

-- name: saved_group
CREATE TABLE saved_group (
    id INTEGER PRIMARY KEY,
    group_id TEXT NOT NULL UNIQUE,
    expires REAL,
    meta BLOB NOT NULL
);

-- name: saved_group_by_expiry
CREATE INDEX saved_group_by_expiry ON saved_group (expires) WHERE expires IS NOT NULL;
