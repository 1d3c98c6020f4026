-- A database of schema version 2, as a server of that version wrote it.
PRAGMA application_id = 1313229908;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO "_sqlx_migrations" VALUES(1,'credentials','2026-01-02 03:04:05',1,X'4B9C0B39621E068C45855F66379A65AB8E7E34C013ED5F655F2DC3CB64526F5034C144BA0FC62F93301C7F9D99DF12F6',2893006);
INSERT INTO "_sqlx_migrations" VALUES(2,'fleet','2026-01-02 03:04:05',1,X'4DB5CB4D808EE3524FA8222111D2F275E2D7141DF53B2F655379807652CACCE58D7D394A80E7518F28109493E3D747A7',3939549);
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
INSERT INTO "audit" VALUES(1,1000000000,'person','me','dispatch.pull','web-1',X'01010101010101010101010101010101',NULL,'accepted',X'A80D91BC13578DB0AA6E932396F89FF8FE64AA08D74ADDC62508E0B8540AA7C0');
INSERT INTO "audit" VALUES(2,1000000000,'person','me','dispatch.pull','web-1',X'02020202020202020202020202020202',NULL,'accepted',X'2EC83188EF81100DA8D0FBBB4565FA77AE90C66914DC9D52169572461B7F1244');
INSERT INTO "audit" VALUES(3,1000000000,'person','me','hold','web-2',NULL,NULL,'done',X'14E24C69CEE15C25532C8C07A4500FDF8B3F46F6E54264DB204C81E2014DF6B3');
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
INSERT INTO "commands" VALUES(X'01010101010101010101010101010101','web-1','main',1,'pull','ERROR',0,0,1000000000,'{"id":"01010101-0101-0101-0101-010101010101","host":"web-1","op":"pull","args":{"generation":null,"input":null},"actor":{"kind":"person","name":"me"},"force":false,"confirmed":false,"override_busy":false,"second_factor":"not-required","reason":null,"requested_target":null,"lane":"main","seq":1,"protocol":"commands","created":1000000000,"target":{"commit":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","lock":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},"rollback":null,"baseline":{"instance_id":"instance-1","boot_id":null,"repo":{"commit":"0000000000000000000000000000000000000000","lock":{"hash":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"},"dirty":false},"deployed":null,"system_path":null,"binary":{"source_commit":null,"store_path":null,"binary_hash":null,"expected_path":null},"agent_update_due":false,"failed_units":null,"test_key":null},"phase":"ERROR","phase_since":1000000000,"ending":{"kind":"exit-code","detail":1},"deadline":null,"sent_at":1000000000,"attempts":1,"not_after":1000060000,"acknowledged_at":1000000000,"pid":null,"warn_at":1000120000,"hard_at":1000300000,"extended":{"secs":0,"nanos":0},"half":null,"signal":null,"exit":{"kind":"error","code":1,"at":1000000000,"message":null,"newly_failed":null,"tests":null},"connected":true,"returned":false,"activated":false,"verdict":null,"resumed_at":null,"latest":1000000000}',X'12987F20D488B8C279884E857E03B5F9');
INSERT INTO "commands" VALUES(X'02020202020202020202020202020202','web-1','main',2,'pull','EXECUTING',1,1,1000000000,'{"id":"02020202-0202-0202-0202-020202020202","host":"web-1","op":"pull","args":{"generation":null,"input":null},"actor":{"kind":"person","name":"me"},"force":false,"confirmed":false,"override_busy":false,"second_factor":"not-required","reason":null,"requested_target":null,"lane":"main","seq":2,"protocol":"commands","created":1000000000,"target":{"commit":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","lock":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},"rollback":null,"baseline":{"instance_id":"instance-1","boot_id":null,"repo":{"commit":"0000000000000000000000000000000000000000","lock":{"hash":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"},"dirty":false},"deployed":null,"system_path":null,"binary":{"source_commit":null,"store_path":null,"binary_hash":null,"expected_path":null},"agent_update_due":false,"failed_units":null,"test_key":null},"phase":"EXECUTING","phase_since":1000000000,"ending":null,"deadline":{"at":1000005000,"reason":"acknowledgement"},"sent_at":1000000000,"attempts":1,"not_after":1000060000,"acknowledged_at":null,"pid":null,"warn_at":null,"hard_at":null,"extended":{"secs":0,"nanos":0},"half":null,"signal":null,"exit":null,"connected":true,"returned":false,"activated":false,"verdict":null,"resumed_at":null,"latest":1000000000}',X'D65057872FB3B3A5041A94BA9F91455A');
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
INSERT INTO "deploys" VALUES(X'07070707070707070707070707070707','web-1',1,'ok',1000100000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb',NULL,'switched');
CREATE TABLE desired_history (
    n         INTEGER NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL,
    commit_id TEXT    NOT NULL,
    lock      TEXT    NOT NULL CHECK (length(lock) = 64),
    subject   TEXT
) STRICT;
INSERT INTO "desired_history" VALUES(1,1000000000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','commit a');
CREATE TABLE events (
    n    INTEGER NOT NULL PRIMARY KEY,
    at   INTEGER NOT NULL,
    host TEXT,
    code TEXT    NOT NULL,
    text TEXT    NOT NULL
) STRICT;
INSERT INTO "events" VALUES(1,1000000000,NULL,'remote-readable','the desired state is aaaaaaa');
INSERT INTO "events" VALUES(2,1000000000,'web-1','host-added','web-1 connected for the first time');
INSERT INTO "events" VALUES(3,1000000000,'web-2','host-added','web-2 connected for the first time');
INSERT INTO "events" VALUES(4,1000000000,'web-1','command-started','pull started on web-1');
INSERT INTO "events" VALUES(5,1000000000,'web-1','command-finished','pull on web-1: exit code 1');
INSERT INTO "events" VALUES(6,1000000000,'web-1','command-started','pull started on web-1');
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
INSERT INTO "hosts" VALUES('web-1',1000000000,2,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'commands','["command-ids"]','instance-1',NULL,NULL,'4.0.0',NULL,NULL,NULL,NULL,'0000000000000000000000000000000000000000','5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9',0,NULL,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb',NULL,1,X'07070707070707070707070707070707',0,NULL,NULL,NULL,NULL,NULL,NULL,'[]','ok',X'07070707070707070707070707070707',1,0,1000100000,'switched',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,X'7AABC76081D8BBE2B95366725DDC7C06');
INSERT INTO "hosts" VALUES('web-2',1000000000,0,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'commands','["command-ids"]','instance-2',NULL,NULL,'4.0.0',NULL,NULL,NULL,NULL,'0000000000000000000000000000000000000000','5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]','never',NULL,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'me','a look',NULL,X'56C58D5088AA296C81D5F802EBAC4A78');
CREATE TABLE last_ended (
    host    TEXT NOT NULL PRIMARY KEY,
    command BLOB NOT NULL REFERENCES commands (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
INSERT INTO "last_ended" VALUES('web-1',X'01010101010101010101010101010101');
CREATE TABLE locks (
    hash    TEXT    NOT NULL PRIMARY KEY CHECK (length(hash) = 64),
    first   INTEGER NOT NULL,
    content BLOB    NOT NULL
) STRICT;
CREATE TABLE presence (
    host      TEXT    NOT NULL PRIMARY KEY,
    online    INTEGER NOT NULL CHECK (online IN (0, 1)),
    last_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "presence" VALUES('web-1',0,1000000000);
INSERT INTO "presence" VALUES('web-2',1,1000000000);
CREATE TABLE remote (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    body TEXT    NOT NULL,
    sum  BLOB    NOT NULL CHECK (length(sum) = 16)
) STRICT;
INSERT INTO "remote" VALUES(1,'{"policy":{"ttl":{"secs":5,"nanos":0},"grace":{"secs":0,"nanos":0}},"remote":{"verified":{"commit":{"Ok":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"lock":{"Ok":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},"subject":"commit a","commit_time":null,"branch":"main","rewritten":false}},"verified_at":1000000000,"failing":null}',X'050A60A2311290443E82DA2DEF9AF906');
CREATE TABLE sessions (
    hash         BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    account      TEXT    NOT NULL,
    role         TEXT    NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "settings" VALUES('audit-end','3 14e24c69cee15c25532c8c07a4500fdf8b3f46f6e54264db204c81e2014df6b3');
ANALYZE "sqlite_master";
INSERT INTO "sqlite_stat1" VALUES('events','events_of_host','6 2 1');
INSERT INTO "sqlite_stat1" VALUES('events','events_by_time','6 6');
INSERT INTO "sqlite_stat1" VALUES('settings','settings','1 1');
INSERT INTO "sqlite_stat1" VALUES('deploys','deploys_of_host','1 1 1');
INSERT INTO "sqlite_stat1" VALUES('deploys','deploys','1 1');
INSERT INTO "sqlite_stat1" VALUES('last_ended','last_ended_command','1 1');
INSERT INTO "sqlite_stat1" VALUES('last_ended','last_ended','1 1');
INSERT INTO "sqlite_stat1" VALUES('presence','presence','2 1');
INSERT INTO "sqlite_stat1" VALUES('commands','commands_of_host','2 2 1');
INSERT INTO "sqlite_stat1" VALUES('commands','open_commands','1 1');
INSERT INTO "sqlite_stat1" VALUES('commands','one_active_command','1 1 1');
INSERT INTO "sqlite_stat1" VALUES('commands','commands','2 1');
INSERT INTO "sqlite_stat1" VALUES('hosts','hosts','2 1');
INSERT INTO "sqlite_stat1" VALUES('_sqlx_migrations','sqlite_autoindex__sqlx_migrations_1','2 1');
CREATE TABLE state_version (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    epoch      INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    continuity TEXT
) STRICT;
INSERT INTO "state_version" VALUES(1,1795816893,20,'db06ae1a-37bb-49d3-90d5-c85c36ce624e');
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
CREATE UNIQUE INDEX one_active_command ON commands (host, lane) WHERE active = 1 AND lane <> 'server';
CREATE INDEX open_commands ON commands (id) WHERE open = 1;
CREATE INDEX commands_of_host ON commands (host, id);
CREATE INDEX last_ended_command ON last_ended (command);
CREATE INDEX deploys_of_host ON deploys (host, at);
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_of_host ON events (host, n);
COMMIT;
