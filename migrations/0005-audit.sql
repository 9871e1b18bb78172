-- Up Migration
-- MACs over the trails, and each trail's end on the row that it belongs to. Null: written without AUDIT_KEYS.

ALTER TABLE refund_events ADD COLUMN mac text;
-- Since when each key has been in use: whoever checks a single trail must not read all others for it.
CREATE INDEX refund_events_by_key ON refund_events (substring(mac from '^v1\.(.+)\.[A-Za-z0-9_-]+$'), id)
  WHERE mac IS NOT NULL;

-- Whoever lacks the keys would leave a break that nobody can mend: they write nothing, once anybody has them.
CREATE FUNCTION refuse_event_without_mac() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Ordered, so that the index is read whatever the planner takes the column to hold.
  PERFORM FROM refund_events WHERE mac IS NOT NULL
    ORDER BY substring(mac from '^v1\.(.+)\.[A-Za-z0-9_-]+$'), id LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'AUDIT_KEYS is not set where this event comes from, and the trail has MACs';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refund_events_keep_macs BEFORE INSERT ON refund_events
  FOR EACH ROW WHEN (NEW.mac IS NULL) EXECUTE FUNCTION refuse_event_without_mac();

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

-- Of a new column nothing is known, and a wrong guess would read the whole trail at each event.
ANALYZE refund_events;

-- Down Migration
DROP TRIGGER refund_events_keep_macs ON refund_events;
DROP FUNCTION refuse_event_without_mac();
ALTER TABLE payments DROP COLUMN event_seal, DROP COLUMN event_mac, DROP COLUMN event_hash, DROP COLUMN event_sequence;
ALTER TABLE refunds DROP COLUMN event_seal, DROP COLUMN event_mac;
ALTER TABLE refund_events DROP COLUMN mac;
