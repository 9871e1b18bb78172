-- Up Migration
-- News for others: who wants it, what happened, and how far each of them has been told.

CREATE TABLE webhook_endpoints (
  id text PRIMARY KEY,
  url text NOT NULL,
  -- Null: all of them, also those that later versions know.
  types text[],
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'disabled')),
  disabled_reason text,
  -- [{sealed, until}], newest first: `until` is null for the newest, and where an older one ends.
  secrets jsonb NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  CHECK ((status = 'disabled') = (disabled_reason IS NOT NULL))
);

CREATE TABLE webhook_messages (
  id text PRIMARY KEY,
  -- Drawn under the refund's lock: in the order of its versions.
  sequence bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  -- Null: a ping.
  refund_id text REFERENCES refunds (id),
  version integer,
  type text NOT NULL,
  -- As it is sent, byte for byte: rendered at the transition and never again.
  body text NOT NULL,
  occurred_at timestamptz NOT NULL,
  CHECK ((refund_id IS NULL) = (version IS NULL)),
  UNIQUE (refund_id, version, type)
);

CREATE TABLE webhook_deliveries (
  id text PRIMARY KEY,
  endpoint_id text NOT NULL REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
  message_id text NOT NULL REFERENCES webhook_messages (id),
  sequence bigint NOT NULL,
  -- What goes one after the other: a refund's messages, or a ping alone.
  subject text NOT NULL,
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed', 'canceled')),
  attempts integer NOT NULL DEFAULT 0,
  -- Since when it is tried; anew after it was sent again by hand.
  first_attempt_at timestamptz,
  last_attempt_at timestamptz,
  next_attempt_at timestamptz,
  last_status integer,
  last_error text,
  delivered_at timestamptz,
  -- From then on somebody must make sure that its workflow runs. At the next attempt itself: somebody asked for it by hand.
  start_after timestamptz NOT NULL,
  created_at timestamptz NOT NULL,
  UNIQUE (endpoint_id, message_id),
  CHECK ((next_attempt_at IS NULL) OR status = 'pending')
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (start_after) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (endpoint_id, subject, sequence) WHERE status = 'pending';
CREATE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (endpoint_id, sequence);
CREATE INDEX webhook_deliveries_of_message ON webhook_deliveries (message_id);
-- What is forgotten after a while.
CREATE INDEX webhook_deliveries_over ON webhook_deliveries (created_at) WHERE status <> 'pending';
CREATE INDEX webhook_messages_by_time ON webhook_messages (occurred_at);

-- Down Migration
DROP TABLE webhook_deliveries, webhook_messages, webhook_endpoints;
