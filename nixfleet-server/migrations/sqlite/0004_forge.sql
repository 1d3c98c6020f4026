-- What is known of the quota of a forge, one row for each credential; no credential itself.
CREATE TABLE forge_budgets (
    name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL CHECK (json_valid(body))
) STRICT, WITHOUT ROWID;

-- Each channel takes its own notices, the oldest first.
CREATE INDEX notices_owed_by_channel ON notices_owed (channel, at, id);
