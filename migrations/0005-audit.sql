-- Up Migration
-- MACs over the trails, and each trail's end on the row that it belongs to. Null: written without AUDIT_KEYS.

ALTER TABLE refund_events ADD COLUMN mac text;
-- Since when each key has been in use: whoever checks a single trail must not read all others for it.
CREATE INDEX refund_events_by_key ON refund_events (substring(mac from '^v1\.(.+)\.[A-Za-z0-9_-]+$'), id)
  WHERE mac IS NOT NULL;

ALTER TABLE refunds
  -- The MAC of the trail's last event.
  ADD COLUMN event_mac text,
  -- The MAC over how far the trail goes: without it a cut tail would leave a whole chain behind.
  ADD COLUMN event_seal text;

-- The end of the payment's own trail, as refunds have had it.
ALTER TABLE payments
  ADD COLUMN event_sequence integer NOT NULL DEFAULT 0,
  ADD COLUMN event_hash text NOT NULL DEFAULT '',
  ADD COLUMN event_mac text,
  ADD COLUMN event_seal text;
UPDATE payments SET event_sequence = last.sequence, event_hash = last.hash
  FROM (
    SELECT DISTINCT ON (payment_id) payment_id, sequence, hash FROM refund_events
    WHERE refund_id IS NULL ORDER BY payment_id, sequence DESC
  ) AS last
  WHERE last.payment_id = payments.id;

-- Down Migration
ALTER TABLE payments DROP COLUMN event_seal, DROP COLUMN event_mac, DROP COLUMN event_hash, DROP COLUMN event_sequence;
ALTER TABLE refunds DROP COLUMN event_seal, DROP COLUMN event_mac;
ALTER TABLE refund_events DROP COLUMN mac;
