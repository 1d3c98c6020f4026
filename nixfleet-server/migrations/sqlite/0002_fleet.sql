-- What the server knows of its hosts. Statuses are not here: they are computed.
-- Commits, hashes and paths are text as people read them; moments are milliseconds since 1970;
-- only lists are JSON. What is believed after a restart carries a sum, because SQLite itself does
-- not notice a flipped bit inside a value.

CREATE TABLE hosts (
    id                 TEXT    NOT NULL PRIMARY KEY,
    added              INTEGER NOT NULL,
    last_seq           INTEGER NOT NULL,
    tests_enabled      INTEGER NOT NULL CHECK (tests_enabled IN (0, 1)),
    -- Identity.
    host_type          TEXT,
    os_version         TEXT,
    nixpkgs_version    TEXT,
    theme_color        TEXT,
    location           TEXT,
    device_type        TEXT,
    repo_url           TEXT,
    repo_dir           TEXT,
    heartbeat_interval INTEGER,
    protocol           TEXT    NOT NULL CHECK (protocol IN ('existing', 'commands')),
    capabilities       TEXT    NOT NULL,
    instance_id        TEXT,
    boot_id            TEXT,
    machine_id_hash    TEXT,
    -- The agent.
    agent_version      TEXT,
    agent_commit       TEXT,
    agent_path         TEXT,
    agent_hash         TEXT,
    agent_expected     TEXT,
    -- The checkout: there is one if a commit is known.
    repo_commit        TEXT,
    -- 'missing', or the hash; NULL if not reported.
    repo_lock          TEXT    CHECK (repo_lock = 'missing' OR length(repo_lock) = 64),
    repo_dirty         INTEGER CHECK (repo_dirty IN (0, 1)),
    repo_error         TEXT,
    -- The deployment record: there is one if deployed_clean is set.
    deployed_commit    TEXT,
    deployed_lock      TEXT    CHECK (length(deployed_lock) = 64),
    deployed_path      TEXT,
    deployed_clean     INTEGER CHECK (deployed_clean IN (0, 1)),
    deployed_command   BLOB    CHECK (length(deployed_command) = 16),
    deployed_inferred  INTEGER CHECK (deployed_inferred IN (0, 1)),
    -- The running system: it was reported if reboot_required is set.
    system_path        TEXT,
    system_revision    TEXT,
    profile_number     INTEGER,
    booted_path        TEXT,
    reboot_required    INTEGER CHECK (reboot_required IN (0, 1)),
    failed_units       TEXT,
    generations        TEXT    NOT NULL,
    -- The last deploy-class command.
    deploy_outcome     TEXT    NOT NULL CHECK (deploy_outcome IN ('never', 'ok', 'failed', 'unknown')),
    deploy_command     BLOB    CHECK (length(deploy_command) = 16),
    deploy_seq         INTEGER NOT NULL,
    needs_reconcile    INTEGER NOT NULL CHECK (needs_reconcile IN (0, 1)),
    deploy_at          INTEGER,
    deploy_detail      TEXT,
    -- The last test result: there is one if test_verdict is set; its key may be unknown.
    test_commit        TEXT,
    test_lock          TEXT    CHECK (length(test_lock) = 64),
    test_path          TEXT,
    test_verdict       TEXT    CHECK (test_verdict IN ('pass', 'fail', 'stopped', 'empty', 'void')),
    test_per_script    INTEGER CHECK (test_per_script IN (0, 1)),
    test_ran           INTEGER,
    test_failed        TEXT,
    test_skipped       INTEGER,
    test_at            INTEGER,
    -- The hold: there is one if held_by is set.
    held_by            TEXT,
    held_why           TEXT,
    held_until         INTEGER,
    sum                BLOB    NOT NULL CHECK (length(sum) = 16),
    CHECK ((repo_commit IS NULL) = (repo_dirty IS NULL)),
    CHECK ((deployed_clean IS NULL) = (deployed_inferred IS NULL)),
    CHECK ((test_verdict IS NULL) = (test_at IS NULL)),
    CHECK ((held_by IS NULL) = (held_why IS NULL))
) STRICT, WITHOUT ROWID;

-- Narrow, because it is written all the time.
CREATE TABLE presence (
    host      TEXT    NOT NULL PRIMARY KEY,
    online    INTEGER NOT NULL CHECK (online IN (0, 1)),
    last_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The journal of commands. A command outlives its host, as history.
CREATE TABLE commands (
    id      BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    host    TEXT    NOT NULL,
    lane    TEXT    NOT NULL CHECK (lane IN ('main', 'restart', 'server')),
    seq     INTEGER NOT NULL,
    op      TEXT    NOT NULL,
    phase   TEXT    NOT NULL,
    -- Not ended.
    open    INTEGER NOT NULL CHECK (open IN (0, 1)),
    -- Not ended and not waiting: it occupies its lane.
    active  INTEGER NOT NULL CHECK (active IN (0, 1) AND active <= open),
    created INTEGER NOT NULL,
    body    TEXT    NOT NULL,
    sum     BLOB    NOT NULL CHECK (length(sum) = 16)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX one_active_command ON commands (host, lane) WHERE active = 1 AND lane <> 'server';
CREATE INDEX open_commands ON commands (id) WHERE open = 1;
CREATE INDEX commands_of_host ON commands (host, id);

CREATE TABLE last_ended (
    host    TEXT NOT NULL PRIMARY KEY,
    command BLOB NOT NULL REFERENCES commands (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX last_ended_command ON last_ended (command);

-- What became of each deploy and of each test run, one row each, kept as history.
CREATE TABLE deploys (
    command    BLOB    NOT NULL PRIMARY KEY CHECK (length(command) = 16),
    host       TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    outcome    TEXT    NOT NULL CHECK (outcome IN ('ok', 'failed', 'unknown')),
    at         INTEGER NOT NULL,
    commit_id  TEXT,
    lock       TEXT    CHECK (length(lock) = 64),
    store_path TEXT,
    detail     TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX deploys_of_host ON deploys (host, at);

CREATE TABLE test_results (
    host       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    verdict    TEXT    NOT NULL CHECK (verdict IN ('pass', 'fail', 'stopped', 'empty', 'void')),
    commit_id  TEXT,
    lock       TEXT    CHECK (length(lock) = 64),
    store_path TEXT,
    ran        INTEGER NOT NULL,
    failed     TEXT    NOT NULL CHECK (json_valid(failed)),
    skipped    INTEGER NOT NULL,
    PRIMARY KEY (host, at)
) STRICT, WITHOUT ROWID;

-- The remote as it was last believed, and every revision that was ever desired.
CREATE TABLE remote (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    body TEXT    NOT NULL,
    sum  BLOB    NOT NULL CHECK (length(sum) = 16)
) STRICT;

CREATE TABLE desired_history (
    n         INTEGER NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL,
    commit_id TEXT    NOT NULL,
    lock      TEXT    NOT NULL CHECK (length(lock) = 64),
    subject   TEXT
) STRICT;

-- Contents of flake.lock by hash.
CREATE TABLE locks (
    hash    TEXT    NOT NULL PRIMARY KEY CHECK (length(hash) = 64),
    first   INTEGER NOT NULL,
    content BLOB    NOT NULL
) STRICT;

CREATE TABLE events (
    n    INTEGER NOT NULL PRIMARY KEY,
    at   INTEGER NOT NULL,
    host TEXT,
    code TEXT    NOT NULL,
    text TEXT    NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_of_host ON events (host, n);

-- A chain: each row's digest covers the digest before it.
CREATE TABLE audit (
    n          INTEGER NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    actor_kind TEXT    NOT NULL CHECK (actor_kind IN ('person', 'automation')),
    actor      TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    host       TEXT,
    command    BLOB    CHECK (length(command) = 16),
    reason     TEXT,
    outcome    TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT;

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The version of the synchronised state. The epoch is new with every new database, and whenever
-- it cannot be proven that nothing is missing between what was published and what is here.
CREATE TABLE state_version (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    epoch      INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    continuity TEXT
) STRICT;
INSERT INTO state_version VALUES (1, unixepoch(), 0, NULL);
