-- The tables of one store file. Ids of executions are 16 bytes; within the file a small number, rid, stands for them.
-- The views at the end are for people: SELECT * FROM executions; SELECT * FROM journal WHERE execution_id = '...';

CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE statuses (code INTEGER PRIMARY KEY, status TEXT NOT NULL);
CREATE TABLE kinds (code INTEGER PRIMARY KEY, kind TEXT NOT NULL);

-- seq, check_, updated_at and frames are those of the last change of the head; what was appended since stands in events
-- and frames.
CREATE TABLE heads (
    rid INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    account INTEGER NOT NULL,
    flow INTEGER NOT NULL,
    graph INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    status INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    session TEXT,
    ready_at INTEGER,
    priority INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    check_ INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    updated_at INTEGER NOT NULL,
    completed_at INTEGER,
    expires_at INTEGER,
    retention_days NUMERIC NOT NULL,
    key TEXT,
    request_hash TEXT NOT NULL,
    business_key TEXT,
    frames INTEGER NOT NULL
);
CREATE UNIQUE INDEX heads_id ON heads (id);
CREATE INDEX heads_account ON heads (account, created_at, id);
CREATE INDEX heads_status ON heads (account, status, created_at, id);
CREATE INDEX heads_flow ON heads (account, flow, created_at, id);
CREATE INDEX heads_graph ON heads (account, graph, created_at, id);
CREATE INDEX heads_key ON heads (key) WHERE key IS NOT NULL;
CREATE INDEX heads_business ON heads (business_key) WHERE business_key IS NOT NULL;
CREATE INDEX heads_ready ON heads (ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX heads_owned ON heads (session) WHERE session IS NOT NULL;
CREATE INDEX heads_expires ON heads (expires_at) WHERE expires_at IS NOT NULL;

-- Rows are appended; the index finds an execution's.
CREATE TABLE events (
    n INTEGER PRIMARY KEY, rid INTEGER NOT NULL, seq INTEGER NOT NULL, check_ INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE UNIQUE INDEX events_at ON events (rid, seq);

CREATE TABLE dedups (rid INTEGER, dedup TEXT, seq INTEGER NOT NULL, PRIMARY KEY (rid, dedup)) WITHOUT ROWID;
CREATE TABLE snapshots (rid INTEGER PRIMARY KEY, seq INTEGER NOT NULL, data BLOB NOT NULL);

CREATE TABLE frames (
    n INTEGER PRIMARY KEY, rid INTEGER NOT NULL, position INTEGER NOT NULL, node INTEGER NOT NULL,
    idx INTEGER NOT NULL, taken INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE UNIQUE INDEX frames_at ON frames (rid, position);
CREATE INDEX frames_of ON frames (rid, node, idx);

CREATE TABLE blobs (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE UNIQUE INDEX blobs_of ON blobs (id, name);

CREATE TABLE outbox (
    rid INTEGER NOT NULL, seq INTEGER NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL, destination TEXT NOT NULL,
    payload BLOB NOT NULL, attempts INTEGER NOT NULL, created_at INTEGER NOT NULL, due_at INTEGER NOT NULL,
    dead INTEGER NOT NULL, error TEXT, PRIMARY KEY (rid, seq, n)
);

CREATE TABLE documents (
    kind TEXT, key TEXT, version INTEGER NOT NULL, value BLOB NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
);

-- Sessions of the process that holds the file: they end with it.
CREATE TABLE local_sessions (session TEXT PRIMARY KEY) WITHOUT ROWID;

CREATE VIEW executions AS
SELECT lower(hex(h.id)) AS execution_id, s.status, a.text AS account, f.text AS flow, g.text AS graph_id,
    max(h.seq, coalesce((SELECT max(e.seq) FROM events e WHERE e.rid = h.rid), 0)) AS seq, h.session, h.epoch,
    q.text AS queue, datetime(h.created_at / 1000, 'unixepoch') AS created,
    datetime(h.completed_at / 1000, 'unixepoch') AS completed, h.key, h.business_key, h.rid
FROM heads h JOIN statuses s ON s.code = h.status JOIN names a ON a.id = h.account JOIN names f ON f.id = h.flow
    JOIN names g ON g.id = h.graph JOIN names q ON q.id = h.queue;

-- The second byte of an event is its kind's code.
CREATE VIEW journal AS
SELECT lower(hex(h.id)) AS execution_id, e.seq,
    (SELECT k.kind FROM kinds k WHERE k.code = instr(
        x'0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738',
        substr(e.data, 2, 1))) AS kind,
    length(e.data) AS bytes, e.data
FROM events e JOIN heads h ON h.rid = e.rid;
