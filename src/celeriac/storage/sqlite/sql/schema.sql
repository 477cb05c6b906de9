-- The database file, schema 1; what later ones add is in files of their own. Run in one transaction by whoever comes
-- first.
--
-- A message's content is written once and never moved: `message` is wide, and what changes (ready, future, held) are
-- narrow tables beside it. A row of `message` has exactly one row in one of ready, future and held.

-- name: counter
-- Ids, positions and tokens are drawn from this one row. Numbers are never used twice, so a stale tag or token can not
-- mean something else by accident.
CREATE TABLE counter (value INTEGER NOT NULL);

-- name: counter_start
INSERT INTO counter (value) VALUES (0);

-- name: message
-- head: JSON [headers, properties]. history: JSON list of losses, or NULL.
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    head BLOB NOT NULL,
    content_type TEXT NOT NULL,
    content_encoding TEXT NOT NULL,
    body BLOB NOT NULL,
    history BLOB
);

-- name: ready
-- What can be taken now. The key is the order of taking, so no query ever sorts.
CREATE TABLE ready (
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    position INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (queue, priority, position)
) WITHOUT ROWID;

-- name: future
-- What becomes due at a Unix time. Costs nothing until then.
CREATE TABLE future (
    queue TEXT NOT NULL,
    due REAL NOT NULL,
    position INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY (queue, due, position)
) WITHOUT ROWID;

-- name: lease
-- One row for each worker. ends: a reading of the monotonic clock; see docs/adr/0003.
CREATE TABLE lease (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    seconds REAL NOT NULL,
    ends REAL NOT NULL
);

-- name: held
-- Who holds what. position: the place to give the message back to.
CREATE TABLE held (
    lease INTEGER NOT NULL,
    message INTEGER NOT NULL,
    token INTEGER NOT NULL,
    position INTEGER NOT NULL,
    started INTEGER NOT NULL,
    PRIMARY KEY (lease, message)
) WITHOUT ROWID;

-- name: dead
CREATE TABLE dead (
    id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    head BLOB NOT NULL,
    content_type TEXT NOT NULL,
    content_encoding TEXT NOT NULL,
    body BLOB NOT NULL,
    history BLOB
);

-- name: dead_by_queue
CREATE INDEX dead_by_queue ON dead (queue, id);

-- name: result
-- expires: Unix time, NULL to keep it. A rowid table with an index: random task ids then spread over small index pages
-- instead of over the results themselves.
CREATE TABLE result (
    id INTEGER PRIMARY KEY,
    task_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    expires REAL,
    meta BLOB NOT NULL
);

-- name: result_by_expiry
CREATE INDEX result_by_expiry ON result (expires) WHERE expires IS NOT NULL;

-- name: work_bell
-- Who waits for work, and on which UDP port of this machine it can be woken. A bell rings once: the writer that rings
-- it deletes it. until: the Unix time at which the waiter wakes by itself. expires: monotonic, for those who died.
CREATE TABLE work_bell (
    queue TEXT NOT NULL,
    port INTEGER NOT NULL,
    until REAL NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY (queue, port)
) WITHOUT ROWID;

-- name: result_bell
-- Who waits for which result; as above.
CREATE TABLE result_bell (
    task_id TEXT NOT NULL,
    port INTEGER NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY (task_id, port)
) WITHOUT ROWID;
