-- Up Migration
-- Keys that end, are replaced and show when they were used; one spelling a person; rate limits.

ALTER TABLE api_keys
  ADD COLUMN expires_at timestamptz,
  -- The key that its rotation made; a key is rotated once.
  ADD COLUMN replaced_by text UNIQUE REFERENCES api_keys (id),
  -- To the minute.
  ADD COLUMN last_used_at timestamptz;
-- A key is found by the beginning of its hash, and compared in constant time.
CREATE INDEX api_keys_by_hash ON api_keys (left(hash, 16));

-- Everyone who ever held a key or showed a token, by one spelling: `ana` and `Ana` are one person.
CREATE TABLE actors (
  folded text PRIMARY KEY,
  actor text NOT NULL
);
INSERT INTO actors (folded, actor)
  SELECT DISTINCT ON (lower(actor COLLATE "C")) lower(actor COLLATE "C"), actor FROM api_keys
  ORDER BY lower(actor COLLATE "C"), created_at;

-- As the library rate-limiter-flexible reads and writes it. Not logged: what a crash empties is a few seconds old.
CREATE UNLOGGED TABLE rate_limits (
  key text PRIMARY KEY,
  points integer NOT NULL DEFAULT 0,
  expire bigint
) WITH (fillfactor = 50);

-- Down Migration
DROP TABLE rate_limits, actors;
DROP INDEX api_keys_by_hash;
ALTER TABLE api_keys DROP COLUMN last_used_at, DROP COLUMN replaced_by, DROP COLUMN expires_at;
