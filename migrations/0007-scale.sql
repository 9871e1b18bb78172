-- Up Migration
-- What is read a page at a time stays so however much there is.

CREATE INDEX payments_by_created ON payments (created_at DESC, id DESC);

-- Only for the list of all refunds, which says so by its condition. To a list of one status or provider it looks like the
-- shorter way, and leads through all that are newer: what is open is new, and what has ended is old.
DROP INDEX refunds_by_created;
CREATE INDEX refunds_by_created ON refunds (created_at DESC, id DESC) WHERE id <> '';

-- It is planned once a session, and in an empty table reading all of it looks cheapest for ever after.
ALTER FUNCTION refuse_event_without_mac() SET enable_seqscan = off;

-- Down Migration
ALTER FUNCTION refuse_event_without_mac() RESET enable_seqscan;
DROP INDEX refunds_by_created;
CREATE INDEX refunds_by_created ON refunds (created_at DESC, id DESC);
DROP INDEX payments_by_created;
