-- Up Migration
-- Amounts are bigint in minor units. No default calls now(): every instant is decided by the process that writes it,
-- so that the window and the waits follow one clock.

CREATE TABLE payments (
  id text PRIMARY KEY,
  provider text NOT NULL,
  provider_payment_id text NOT NULL,
  provider_payment_reference text,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  method text NOT NULL,
  paid_at timestamptz NOT NULL,
  reference text,
  metadata jsonb NOT NULL DEFAULT '{}',
  refunded_minor bigint NOT NULL DEFAULT 0 CHECK (refunded_minor >= 0),
  reserved_minor bigint NOT NULL DEFAULT 0 CHECK (reserved_minor >= 0),
  -- A fact that the provider shows; it may overshoot, so it stands outside the check below.
  external_minor bigint NOT NULL DEFAULT 0 CHECK (external_minor >= 0),
  -- The last change of what is settled here: an older reading may not lower external_minor.
  settled_at timestamptz,
  -- The reading that external_minor rests on: an older one may not lower it either.
  external_read_at timestamptz,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  UNIQUE (provider, provider_payment_id),
  CONSTRAINT payments_never_over_refunded CHECK (refunded_minor + reserved_minor <= amount_minor)
);
CREATE INDEX payments_by_provider_id ON payments (provider_payment_id);

CREATE TABLE refunds (
  id text PRIMARY KEY,
  payment_id text NOT NULL REFERENCES payments (id),
  provider text NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency text NOT NULL,
  reason text NOT NULL,
  description text,
  reference text,
  metadata jsonb NOT NULL DEFAULT '{}',
  status text NOT NULL CHECK (status IN ('requires_approval', 'pending', 'review', 'succeeded', 'failed', 'rejected', 'expired', 'canceled', 'reversed')),
  pending_reason text CHECK (pending_reason IN ('validating', 'queued', 'insufficient_balance', 'provider_unavailable', 'authorization_required', 'provider_processing', 'outcome_unknown')),
  failure_reason text,
  review_reason text,
  provider_refund_id text,
  provider_error jsonb,
  evidence jsonb,
  -- reserved: held for it; refunded: settled; released: given back.
  money text NOT NULL CHECK (money IN ('reserved', 'refunded', 'released')),
  requested_by text NOT NULL,
  request_id text NOT NULL,
  content_hash text NOT NULL,
  policy_version text NOT NULL,
  refund_deadline timestamptz,
  submit_before timestamptz,
  -- The attempt number that is open or was the last, 0 before the first.
  attempt integer NOT NULL DEFAULT 0,
  last_looked_at timestamptz,
  version integer NOT NULL DEFAULT 1,
  event_sequence integer NOT NULL DEFAULT 0,
  event_hash text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  CHECK ((status = 'pending') = (pending_reason IS NOT NULL)),
  CHECK ((status = 'failed') = (failure_reason IS NOT NULL)),
  CHECK ((status = 'review') = (review_reason IS NOT NULL)),
  CHECK (status NOT IN ('requires_approval', 'pending') OR money = 'reserved'),
  CHECK (status <> 'succeeded' OR (money = 'refunded' AND evidence IS NOT NULL)),
  CHECK (status NOT IN ('failed', 'rejected', 'expired', 'canceled', 'reversed') OR money = 'released')
);
CREATE INDEX refunds_by_payment ON refunds (payment_id, created_at, id);
CREATE INDEX refunds_by_created ON refunds (created_at DESC, id DESC);
CREATE INDEX refunds_by_status ON refunds (status, created_at DESC, id DESC);
CREATE INDEX refunds_by_provider ON refunds (provider, created_at DESC, id DESC);
CREATE INDEX refunds_by_reference ON refunds (reference, created_at DESC, id DESC) WHERE reference IS NOT NULL;
-- Not unique: admission keeps a live reference single under the payment's lock, and a label may never refuse the
-- record of money that lands after its refund had failed and the label was taken again.
CREATE INDEX refunds_by_payment_reference ON refunds (payment_id, reference) WHERE reference IS NOT NULL;
CREATE UNIQUE INDEX refunds_provider_refund_once ON refunds (provider, provider_refund_id) WHERE provider_refund_id IS NOT NULL;

CREATE TABLE idempotency (
  actor text NOT NULL,
  key text NOT NULL,
  fingerprint text NOT NULL,
  refund_id text NOT NULL,
  -- Null: admitted, the answer is the refund as it stands. Else the rules that refused it.
  refusal jsonb,
  admitting_run_id text NOT NULL,
  first_ask_id text NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (actor, key)
);

CREATE TABLE refund_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  payment_id text NOT NULL REFERENCES payments (id),
  -- Null for what concerns the payment alone: its registration, money moved without us.
  refund_id text REFERENCES refunds (id),
  sequence integer NOT NULL,
  type text NOT NULL,
  origin text NOT NULL CHECK (origin IN ('service', 'provider')),
  actor text NOT NULL,
  reason text,
  request_id text,
  occurred_at timestamptz NOT NULL,
  data jsonb NOT NULL,
  previous_hash text NOT NULL,
  hash text NOT NULL
);
CREATE UNIQUE INDEX refund_events_of_refund ON refund_events (refund_id, sequence) WHERE refund_id IS NOT NULL;
CREATE UNIQUE INDEX refund_events_of_payment_alone ON refund_events (payment_id, sequence) WHERE refund_id IS NULL;
CREATE INDEX refund_events_of_payment ON refund_events (payment_id, id);

-- The trail is append-only for every role that the service uses.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'refund_events is append-only';
END $$;
CREATE TRIGGER refund_events_append_only BEFORE UPDATE OR DELETE ON refund_events
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refund_events_never_emptied BEFORE TRUNCATE ON refund_events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE provider_attempts (
  refund_id text NOT NULL REFERENCES refunds (id),
  number integer NOT NULL CHECK (number > 0),
  payment_id text NOT NULL REFERENCES payments (id),
  amount_minor bigint NOT NULL,
  idempotency_key text NOT NULL,
  claimed_at timestamptz NOT NULL,
  send_by timestamptz NOT NULL,
  -- What the provider showed just before the call, and the reading's instant.
  snapshot jsonb NOT NULL,
  -- Which attempts on the payment had landed at the claim, and which were open: told by the lock, never by clocks.
  known_at_claim jsonb NOT NULL,
  -- How often bytes may have left: more than once only under one idempotency key.
  sends integer NOT NULL DEFAULT 0,
  last_sent_at timestamptz,
  -- The provider's classified answer, null until there is one.
  answer jsonb,
  resend_after timestamptz,
  -- The provider's own id, once an answer or a reading gave it, and what the conclusion rests on.
  provider_refund_id text,
  evidence jsonb,
  matched_by text,
  -- Complete reads since the claim in which the attempt did not appear.
  absent_reads jsonb NOT NULL DEFAULT '[]',
  -- Null while it is open: the money may have moved or may yet.
  conclusion text CHECK (conclusion IN ('landed', 'declined', 'not_sent', 'absent')),
  concluded_at timestamptz,
  PRIMARY KEY (refund_id, number),
  UNIQUE (idempotency_key)
);
CREATE INDEX provider_attempts_open ON provider_attempts (payment_id) WHERE conclusion IS NULL;

-- Who may have the one open attempt of a payment at a provider without idempotency keys, and who waits for it.
CREATE TABLE lanes (
  payment_id text PRIMARY KEY REFERENCES payments (id),
  holder_refund_id text NOT NULL REFERENCES refunds (id),
  taken_at timestamptz NOT NULL
);
CREATE TABLE lane_waiters (
  refund_id text PRIMARY KEY REFERENCES refunds (id),
  payment_id text NOT NULL REFERENCES payments (id),
  deadline timestamptz,
  enqueued_at timestamptz NOT NULL,
  seen_at timestamptz NOT NULL
);
CREATE INDEX lane_waiters_in_order ON lane_waiters (payment_id, deadline NULLS LAST, enqueued_at, refund_id);

CREATE TABLE webhook_inbox (
  provider text NOT NULL,
  -- sha-256 of the raw body.
  digest text NOT NULL,
  body bytea NOT NULL,
  provider_payment_id text,
  deliveries integer NOT NULL DEFAULT 1,
  first_seen_at timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  PRIMARY KEY (provider, digest)
);
CREATE INDEX webhook_inbox_by_payment ON webhook_inbox (provider, provider_payment_id);

CREATE TABLE api_keys (
  id text PRIMARY KEY,
  -- sha-256 of the key: it has 256 random bits, so a slow hash would add nothing.
  hash text NOT NULL UNIQUE,
  actor text NOT NULL,
  roles text[] NOT NULL,
  created_at timestamptz NOT NULL,
  revoked_at timestamptz
);

-- Refresh tokens, sealed with PAYLOAD_KEYS. The owner is a payment's id or provider:<name>.
CREATE TABLE provider_credentials (
  owner text PRIMARY KEY,
  sealed text NOT NULL,
  updated_at timestamptz NOT NULL
);

-- Down Migration
DROP TABLE provider_credentials, api_keys, webhook_inbox, lane_waiters, lanes, provider_attempts, refund_events, idempotency, refunds, payments;
DROP FUNCTION refuse_change();
