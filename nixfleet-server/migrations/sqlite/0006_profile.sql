-- Schema version 6: what the profile of a host names. Seconds and the like as before.

-- The store path that the next boot starts; NULL if the host does not tell.
ALTER TABLE hosts ADD COLUMN profile_path TEXT;

-- An ended rollout whose revert is still to be asked for is as good as open.
UPDATE rollouts SET open = 1
WHERE open = 0 AND json_valid(body) AND json_extract(body, '$.revert_due');
