-- Updates, rollouts, and what people settle for hosts and for the fleet.

-- How automation treats a host, and what its agent says about that; NULL is the default. Both are
-- part of the row's sum only where they are set, so that older rows keep theirs.
ALTER TABLE hosts ADD COLUMN settings TEXT CHECK (json_valid(settings));
ALTER TABLE hosts ADD COLUMN update_policy TEXT CHECK (json_valid(update_policy));

-- What was changed, before and after, in JSON, and from which address; part of the digest only
-- where they are set.
ALTER TABLE audit ADD COLUMN value_before TEXT;
ALTER TABLE audit ADD COLUMN value_after TEXT;
ALTER TABLE audit ADD COLUMN peer TEXT;

-- Who asked for a deploy, for which target, and which generation came of it.
ALTER TABLE deploys ADD COLUMN op TEXT;
ALTER TABLE deploys ADD COLUMN actor_kind TEXT CHECK (actor_kind IN ('person', 'automation'));
ALTER TABLE deploys ADD COLUMN actor TEXT;
ALTER TABLE deploys ADD COLUMN started INTEGER;
ALTER TABLE deploys ADD COLUMN target_commit TEXT;
ALTER TABLE deploys ADD COLUMN target_lock TEXT CHECK (length(target_lock) = 64);
ALTER TABLE deploys ADD COLUMN generation INTEGER;

CREATE TABLE rollouts (
    id      BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- Not ended.
    open    INTEGER NOT NULL CHECK (open IN (0, 1)),
    state   TEXT    NOT NULL,
    -- When it entered its state.
    since   INTEGER NOT NULL,
    created INTEGER NOT NULL,
    body    TEXT    NOT NULL,
    sum     BLOB    NOT NULL CHECK (length(sum) = 16)
) STRICT, WITHOUT ROWID;
CREATE INDEX open_rollouts ON rollouts (id) WHERE open = 1;
CREATE INDEX rollouts_by_time ON rollouts (created, id);
CREATE INDEX rollouts_by_end ON rollouts (since, id) WHERE open = 0;

-- The hosts of rollouts that have not ended. Several may wait for one host; one acts on it.
CREATE TABLE rollout_hosts (
    rollout BLOB    NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    host    TEXT    NOT NULL,
    -- A command of it runs there.
    acting  INTEGER NOT NULL CHECK (acting IN (0, 1)),
    PRIMARY KEY (rollout, host)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_acting_rollout ON rollout_hosts (host) WHERE acting = 1;

-- What is known of updates, except their history.
CREATE TABLE updates (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    body TEXT    NOT NULL,
    sum  BLOB    NOT NULL CHECK (length(sum) = 16)
) STRICT;

-- One row for each pull request that was merged.
CREATE TABLE merged_updates (
    repo      TEXT    NOT NULL,
    number    INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    commit_id TEXT,
    body      TEXT    NOT NULL,
    sum       BLOB    NOT NULL CHECK (length(sum) = 16),
    PRIMARY KEY (repo, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX merged_updates_by_time ON merged_updates (at);
CREATE INDEX merged_updates_by_commit ON merged_updates (commit_id);

-- Maintenance windows and the quarantine.
CREATE TABLE fleet_settings (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    body TEXT    NOT NULL,
    sum  BLOB    NOT NULL CHECK (length(sum) = 16)
) STRICT;

-- What people are still to be told, one row for each channel; written together with what it tells.
CREATE TABLE notices_owed (
    id       TEXT    NOT NULL,
    channel  TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    PRIMARY KEY (id, channel)
) STRICT, WITHOUT ROWID;

-- Every attempt to deliver a notice.
CREATE TABLE deliveries (
    n       INTEGER NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,
    notice  TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    title   TEXT    NOT NULL,
    channel TEXT    NOT NULL,
    attempt INTEGER NOT NULL,
    outcome TEXT    NOT NULL CHECK (outcome IN ('delivered', 'failed', 'given-up')),
    why     TEXT,
    -- When it is tried again.
    next    INTEGER
) STRICT;
CREATE INDEX deliveries_by_time ON deliveries (at);
