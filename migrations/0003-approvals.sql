-- Up Migration
-- Approvals: who must agree, until when, and what each person said.

ALTER TABLE refunds
  ADD COLUMN approvals_required integer NOT NULL DEFAULT 0 CHECK (approvals_required >= 0),
  -- 0: no approval was ever asked for. A person's resend opens the next round.
  ADD COLUMN approval_round integer NOT NULL DEFAULT 0,
  ADD COLUMN approval_state text CHECK (approval_state IN ('pending', 'approved', 'rejected', 'expired', 'canceled')),
  -- Who asked for this round: the requester, or who ordered the resend. They may not vote in it.
  ADD COLUMN approval_opened_by text,
  ADD COLUMN approval_requested_at timestamptz,
  -- The last instant for a vote is before it.
  ADD COLUMN approval_expires_at timestamptz,
  ADD CONSTRAINT refunds_approval_whole CHECK (
    (approval_round = 0) = (approval_state IS NULL)
    AND (approval_round = 0) = (approval_opened_by IS NULL)
    AND (approval_round = 0) = (approval_requested_at IS NULL)
    AND (approval_round = 0) = (approval_expires_at IS NULL)
    AND (approval_round = 0) = (approvals_required = 0)
  ),
  ADD CONSTRAINT refunds_failure_known CHECK (failure_reason IN ('provider_not_enabled', 'payment_facts_mismatch', 'payment_not_refundable', 'refund_window_expired', 'partial_not_supported', 'currency_mismatch', 'amount_exceeds_available', 'limit_exceeded', 'insufficient_balance', 'provider_unavailable', 'provider_declined')),
  ADD CONSTRAINT refunds_approval_awaited CHECK ((status = 'requires_approval') = (approval_state IS NOT DISTINCT FROM 'pending'));
-- What an actor asked for of late, for the daily limits.
CREATE INDEX refunds_by_requester ON refunds (requested_by, created_at);

CREATE TABLE votes (
  refund_id text NOT NULL REFERENCES refunds (id),
  round integer NOT NULL,
  actor text NOT NULL,
  decision text NOT NULL CHECK (decision IN ('approve', 'reject')),
  content_hash text NOT NULL,
  comment text,
  -- The front door's signature over the vote.
  proof text NOT NULL,
  request_id text NOT NULL,
  voted_at timestamptz NOT NULL,
  PRIMARY KEY (refund_id, round, actor)
);

-- Every message of a person that the front door vouched for and that was handled, with what came of it: one that
-- comes again, from the engine's retry or from somebody's copy, is told the same and changes nothing.
CREATE TABLE front_door_messages (
  nonce text PRIMARY KEY,
  refund_id text NOT NULL REFERENCES refunds (id),
  action text NOT NULL CHECK (action IN ('approve', 'reject', 'cancel', 'extend', 'resolve')),
  actor text NOT NULL,
  proof text NOT NULL,
  outcome jsonb NOT NULL,
  received_at timestamptz NOT NULL
);
CREATE INDEX front_door_messages_of_refund ON front_door_messages (refund_id, received_at);

-- A refund goes on under the policy that it was admitted under, whatever the file says by then.
CREATE TABLE policies (
  version text PRIMARY KEY,
  content jsonb NOT NULL,
  first_used_at timestamptz NOT NULL
);

-- Votes, messages and policies are evidence.
CREATE FUNCTION refuse_evidence_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER votes_append_only BEFORE UPDATE OR DELETE ON votes FOR EACH ROW EXECUTE FUNCTION refuse_evidence_change();
CREATE TRIGGER votes_never_emptied BEFORE TRUNCATE ON votes FOR EACH STATEMENT EXECUTE FUNCTION refuse_evidence_change();
CREATE TRIGGER front_door_messages_append_only BEFORE UPDATE OR DELETE ON front_door_messages FOR EACH ROW EXECUTE FUNCTION refuse_evidence_change();
CREATE TRIGGER front_door_messages_never_emptied BEFORE TRUNCATE ON front_door_messages FOR EACH STATEMENT EXECUTE FUNCTION refuse_evidence_change();
CREATE TRIGGER policies_append_only BEFORE UPDATE OR DELETE ON policies FOR EACH ROW EXECUTE FUNCTION refuse_evidence_change();
CREATE TRIGGER policies_never_emptied BEFORE TRUNCATE ON policies FOR EACH STATEMENT EXECUTE FUNCTION refuse_evidence_change();

-- Down Migration
DO $$ BEGIN
  IF EXISTS (SELECT FROM refunds WHERE status = 'requires_approval') THEN
    RAISE EXCEPTION 'refunds wait for approval: decide, cancel or let expire them first';
  END IF;
END $$;
DROP TABLE policies, front_door_messages, votes;
DROP FUNCTION refuse_evidence_change();
DROP INDEX refunds_by_requester;
ALTER TABLE refunds
  DROP CONSTRAINT refunds_approval_awaited,
  DROP CONSTRAINT refunds_failure_known,
  DROP CONSTRAINT refunds_approval_whole,
  DROP COLUMN approval_expires_at,
  DROP COLUMN approval_requested_at,
  DROP COLUMN approval_opened_by,
  DROP COLUMN approval_state,
  DROP COLUMN approval_round,
  DROP COLUMN approvals_required;
