-- Schema version 6: what the profile of a host names. Seconds and the like as before.

-- The store path that the next boot starts; NULL if the host does not tell.
ALTER TABLE hosts ADD COLUMN profile_path TEXT;
