-- 'NFLT': tells our database from anybody else's.
PRAGMA application_id = 1313229908;

CREATE TABLE sessions (
    hash         BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    account      TEXT    NOT NULL,
    role         TEXT    NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    hash         BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    name         TEXT    NOT NULL UNIQUE,
    -- Exactly one of the two: an API token has a role, an agent token has a host.
    role         TEXT    CHECK (role IN ('viewer', 'operator', 'admin')),
    host         TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    CHECK ((role IS NULL) <> (host IS NULL))
) STRICT, WITHOUT ROWID;
