/** Votes and attempts: rows beside a trail that must say what it says. */
import { sql, type RawBuilder } from 'kysely';
import type { LedgerTransaction } from '../database.js';
import type { Break } from './trail.js';

/** The first few, in the order of refunds. `refundId`: of one refund alone. */
export async function breaksBeside(
  trx: LedgerTransaction,
  atMost: number,
  refundId: string | null = null,
): Promise<Break[]> {
  const breaks: Break[] = [];
  for (const query of [votesBeside, attemptsBeside, conclusionsBeside]) {
    const { rows } = await query(refundId, atMost).execute(trx);
    for (const { refund_id: id, sequence, what } of rows) {
      breaks.push({ trail: { kind: 'refund', id }, sequence, what });
    }
  }
  return breaks.slice(0, atMost);
}

interface Found {
  readonly refund_id: string;
  /** Of the event that tells it otherwise. */
  readonly sequence: number | null;
  readonly what: string;
}

/** No cast of what an event holds: whoever changed it could make the query fail. */
type Query = (refundId: string | null, atMost: number) => RawBuilder<Found>;

const votesBeside: Query = (refundId, atMost) => sql`
  SELECT coalesce(vote.refund_id, told.refund_id) AS refund_id, told.sequence,
    CASE
      WHEN vote.refund_id IS NULL THEN 'the vote of ' || told.actor || ' is gone'
      WHEN told.refund_id IS NULL THEN 'the trail tells of no vote of ' || vote.actor
      ELSE 'the vote of ' || vote.actor || ' is not what the trail tells'
    END AS what
  FROM (SELECT * FROM votes WHERE ${of(refundId)}) AS vote
  FULL JOIN (SELECT *, data ->> 'round' AS round FROM refund_events WHERE type = 'vote_cast' AND ${of(refundId)}) AS told
    ON told.refund_id = vote.refund_id AND told.round = vote.round::text AND told.actor = vote.actor
  WHERE vote.refund_id IS NULL OR told.refund_id IS NULL
    OR (vote.decision, vote.content_hash, vote.comment, vote.proof, vote.request_id, vote.voted_at)
      IS DISTINCT FROM (told.data ->> 'decision', told.data ->> 'content_hash', told.data ->> 'comment',
        told.data ->> 'proof', told.request_id, told.occurred_at)
  ORDER BY 1, 2 LIMIT ${atMost}`;

/** Among what was shown before, what a sending is told by: amounts and ids. */
const attemptsBeside: Query = (refundId, atMost) => sql`
  SELECT coalesce(attempt.refund_id, told.refund_id) AS refund_id, told.sequence,
    CASE
      WHEN attempt.refund_id IS NULL THEN 'attempt ' || told.number || ' is gone'
      WHEN told.refund_id IS NULL THEN 'the trail tells of no attempt ' || attempt.number
      ELSE 'attempt ' || attempt.number || ' is not what the trail tells'
    END AS what
  FROM (SELECT * FROM provider_attempts WHERE ${of(refundId)}) AS attempt
  FULL JOIN (SELECT *, data ->> 'attempt' AS number FROM refund_events WHERE type = 'attempt_claimed' AND ${of(refundId)}) AS told
    ON told.refund_id = attempt.refund_id AND told.number = attempt.number::text
  WHERE attempt.refund_id IS NULL OR told.refund_id IS NULL
    OR (attempt.payment_id, attempt.amount_minor::text, attempt.idempotency_key, attempt.claimed_at,
        attempt.snapshot ->> 'providerStatus',
        jsonb_path_query_array(attempt.snapshot, '$.refunds[*].amountMinor'),
        jsonb_path_query_array(attempt.snapshot, '$.refunds[*].providerRefundId'))
      IS DISTINCT FROM (told.payment_id, told.data ->> 'amount_minor', told.data ->> 'idempotency_key', told.occurred_at,
        told.data #>> '{shown_before,provider_status}',
        jsonb_path_query_array(told.data, '$.shown_before.refunds[*].amount_minor'),
        jsonb_path_query_array(told.data, '$.shown_before.refunds[*].provider_refund_id'))
  ORDER BY 1, 2 LIMIT ${atMost}`;

/** What became of an attempt rests on an event that says so: on a wrong word, money would be sent twice. */
const conclusionsBeside: Query = (refundId, atMost) => sql`
  SELECT attempt.refund_id, NULL::integer AS sequence,
    'the trail does not tell that attempt ' || attempt.number || ' was ' || attempt.conclusion AS what
  FROM provider_attempts AS attempt
  WHERE attempt.conclusion IS NOT NULL AND ${of(refundId)}
  -- Older trails, which did not tell the request's hash either, left this one out where the refund no longer waited.
  AND (attempt.conclusion <> 'not_sent' OR EXISTS (
    SELECT FROM refund_events AS created WHERE created.refund_id = attempt.refund_id
      AND created.type = 'refund_created' AND created.data ? 'request_hash'
  )) AND NOT EXISTS (
    SELECT FROM refund_events AS told
    WHERE told.refund_id = attempt.refund_id AND (
      told.type = 'review_resolved' AND told.data @> jsonb_build_object('concluded',
        jsonb_build_array(jsonb_build_object('attempt', attempt.number, 'conclusion', attempt.conclusion)))
      OR told.data @> jsonb_build_object('attempt', attempt.number) AND CASE attempt.conclusion
        WHEN 'landed' THEN told.type = 'attempt_answered' AND told.data #>> '{answer,kind}' = 'done'
          OR told.type = 'attempt_found' AND told.data #>> '{shown,status}' = 'succeeded'
        WHEN 'declined' THEN told.type = 'attempt_answered' AND told.data #>> '{answer,kind}' = 'declined'
          OR told.type = 'attempt_found' AND told.data #>> '{shown,status}' = 'rejected'
          OR told.type = 'attempt_absent' AND told.data ->> 'conclusion' = 'declined'
          OR told.type = 'refund_reversed'
        WHEN 'absent' THEN told.type = 'attempt_absent' AND told.data ->> 'conclusion' = 'absent'
        WHEN 'not_sent' THEN told.type = 'attempt_answered' AND told.data #>> '{answer,kind}' = 'notNow'
        ELSE told.type = 'other_amount_seen'
      END
    )
  )
  ORDER BY 1 LIMIT ${atMost}`;

function of(refundId: string | null): RawBuilder<boolean> {
  return refundId === null ? sql`true` : sql`refund_id = ${refundId}`;
}
