-- Up Migration
-- What waits for a provider, what a person must end, and what is found after the end.

-- Trouble with a provider, by what is asked of it: reads may work while submits don't, and the other way round.
CREATE TABLE breakers (
  provider text NOT NULL,
  operation text NOT NULL CHECK (operation IN ('read', 'submit')),
  -- In a row; a success sets it back.
  failures integer NOT NULL DEFAULT 0,
  -- Null while it is closed.
  opened_at timestamptz,
  -- Probes that failed since it opened: the next pause is longer.
  failed_probes integer NOT NULL DEFAULT 0,
  -- One call may probe from then on; null while it is closed.
  probe_at timestamptz,
  -- The provider asked for silence until then (429 with Retry-After).
  hold_until timestamptz,
  -- When it closed last: what waited goes on from then, in order of deadline.
  closed_at timestamptz,
  PRIMARY KEY (provider, operation)
);

-- The operator's kill switch: no new sending through the provider. A row only where it was ever used.
CREATE TABLE provider_switches (
  provider text PRIMARY KEY,
  -- Null: on. Else since when nothing is sent.
  paused_at timestamptz,
  resumed_at timestamptz,
  actor text NOT NULL,
  reason text NOT NULL
);

CREATE TABLE provider_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider text NOT NULL,
  type text NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  request_id text,
  occurred_at timestamptz NOT NULL
);
CREATE INDEX provider_events_of_provider ON provider_events (provider, id);
CREATE FUNCTION refuse_provider_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'provider_events is append-only';
END $$;
CREATE TRIGGER provider_events_append_only BEFORE UPDATE OR DELETE ON provider_events
  FOR EACH ROW EXECUTE FUNCTION refuse_provider_event_change();
CREATE TRIGGER provider_events_never_emptied BEFORE TRUNCATE ON provider_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_provider_event_change();

-- Who ends a review: the provider, once it decides, or a person alone.
ALTER TABLE refunds ADD COLUMN review_ends_by text CHECK (review_ends_by IN ('provider', 'person'));
UPDATE refunds SET review_ends_by = 'provider' WHERE status = 'review';
ALTER TABLE refunds ADD CHECK ((status = 'review') = (review_ends_by IS NOT NULL));
CREATE INDEX refunds_open ON refunds (provider, pending_reason, refund_deadline, created_at)
  WHERE status IN ('requires_approval', 'pending', 'review');
CREATE INDEX refunds_by_provider_status ON refunds (provider, status);
-- What the nightly reconciliation reads: what changed of late, and what is in doubt.
CREATE INDEX refunds_by_updated ON refunds (provider, updated_at);

ALTER TABLE provider_attempts DROP CONSTRAINT provider_attempts_conclusion_check;
-- other_amount: it moved another amount than was asked; what it moved counts as external.
ALTER TABLE provider_attempts ADD CONSTRAINT provider_attempts_conclusion_check
  CHECK (conclusion IN ('landed', 'declined', 'not_sent', 'absent', 'other_amount'));
-- Complete reads after the end that contradict a landed attempt: it shows as negative, or not at all.
ALTER TABLE provider_attempts ADD COLUMN doubts jsonb NOT NULL DEFAULT '[]';
CREATE INDEX provider_attempts_doubted ON provider_attempts (payment_id) WHERE doubts <> '[]';

-- A complete reading by which less moved without us than is believed: another one, a quiet time later, decides.
ALTER TABLE payments ADD COLUMN external_doubt jsonb;

ALTER TABLE webhook_inbox ADD COLUMN matched_at timestamptz;
CREATE INDEX webhook_inbox_unmatched ON webhook_inbox (provider, provider_payment_id) WHERE matched_at IS NULL;

CREATE TABLE reconciliations (
  id text PRIMARY KEY,
  origin text NOT NULL CHECK (origin IN ('schedule', 'operator')),
  requested_by text NOT NULL,
  request_id text,
  status text NOT NULL CHECK (status IN ('running', 'completed')),
  started_at timestamptz NOT NULL,
  finished_at timestamptz,
  -- Counts and differences; grows while it runs.
  report jsonb NOT NULL
);

-- Work that one process at a time does for all.
CREATE TABLE leases (
  name text PRIMARY KEY,
  holder text NOT NULL,
  until timestamptz NOT NULL
);

-- Down Migration
DROP TABLE leases, reconciliations;
DROP INDEX webhook_inbox_unmatched;
ALTER TABLE webhook_inbox DROP COLUMN matched_at;
ALTER TABLE payments DROP COLUMN external_doubt;
DROP INDEX provider_attempts_doubted;
ALTER TABLE provider_attempts DROP COLUMN doubts;
ALTER TABLE provider_attempts DROP CONSTRAINT provider_attempts_conclusion_check;
ALTER TABLE provider_attempts ADD CONSTRAINT provider_attempts_conclusion_check
  CHECK (conclusion IN ('landed', 'declined', 'not_sent', 'absent'));
DROP INDEX refunds_by_updated, refunds_by_provider_status, refunds_open;
ALTER TABLE refunds DROP COLUMN review_ends_by;
DROP TABLE provider_events, provider_switches, breakers;
DROP FUNCTION refuse_provider_event_change();
