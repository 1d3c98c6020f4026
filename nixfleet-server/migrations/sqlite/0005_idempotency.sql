-- Requests under an Idempotency-Key, for a day. A row whose work changed something is written in the
-- transaction of that change, with a note of what came of it; the answer is added right after.
CREATE TABLE idempotency (
    -- Whose key it is.
    principal TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    -- SHA-256 of method, address and body.
    request   BLOB    NOT NULL CHECK (length(request) = 32),
    -- What came of it, in JSON; NULL if it changed nothing.
    note      TEXT    CHECK (json_valid(note)),
    -- The answer: there is one if status is set.
    status    INTEGER CHECK (status BETWEEN 200 AND 499),
    media     TEXT,
    body      BLOB,
    PRIMARY KEY (principal, key),
    CHECK (note IS NOT NULL OR status IS NOT NULL),
    CHECK ((status IS NULL) = (media IS NULL) AND (status IS NULL) = (body IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_time ON idempotency (at);
