-- Up Migration
-- What is read a page at a time stays so however much there is.

-- Under traffic: whoever waits for this waits no longer than that, and it is run again.
SET LOCAL lock_timeout = '5s';
-- Whatever moves money begins with a payment's row: from here on nobody is half-way, and holds what is changed below.
LOCK TABLE payments IN EXCLUSIVE MODE;

CREATE INDEX payments_by_created ON payments (created_at DESC, id DESC);

-- Whose an id of the provider is, asked at each answer and look.
CREATE INDEX provider_attempts_by_provider_id ON provider_attempts (provider_refund_id)
  WHERE provider_refund_id IS NOT NULL;

-- Only for the list of all refunds, which says so by its condition. To a list of one status or provider it looks like the
-- shorter way, and leads through all that are newer: what is open is new, and what has ended is old.
CREATE INDEX refunds_listed ON refunds (created_at DESC, id DESC) WHERE id <> '';

-- It is planned once a session, and in an empty table reading all of it looks cheapest for ever after.
ALTER FUNCTION refuse_event_without_mac() SET enable_seqscan = off;

-- What keeps readers out as well comes last, and takes no time.
-- So long the worker that called takes the provider's webhooks itself, and the refund's process is not woken by them.
ALTER TABLE provider_attempts ADD COLUMN watched_until timestamptz;
DROP INDEX refunds_by_created;
ALTER INDEX refunds_listed RENAME TO refunds_by_created;

-- Down Migration
ALTER FUNCTION refuse_event_without_mac() RESET enable_seqscan;
DROP INDEX refunds_by_created;
CREATE INDEX refunds_by_created ON refunds (created_at DESC, id DESC);
ALTER TABLE provider_attempts DROP COLUMN watched_until;
DROP INDEX provider_attempts_by_provider_id;
DROP INDEX payments_by_created;
