/** How an attempt's row and its refund's trail change together, whatever brought the news. */
import { sql } from 'kysely';
import type { ProviderError } from '../domain/provider.js';
import type { Evidence, EvidenceSource, PendingReason } from '../domain/refund.js';
import type { AttemptRow } from './attempts.js';
import type { LedgerTransaction } from './database.js';
import { changeRefund, type TrailEvent } from './event-chain.js';
import { faceLateMoney } from './late-money.js';
import { BY_THE_SERVICE, showPending, type PaymentRow, type RefundRow } from './refunds.js';

/** One attempt with all that it is judged by, read under the payment's lock. */
export interface Subject {
  readonly payment: PaymentRow;
  readonly refund: RefundRow;
  readonly attempts: readonly AttemptRow[];
  readonly attempt: AttemptRow;
}

export type AttemptColumns = Parameters<typeof updateAttempt>[2];

export async function updateAttempt(
  trx: LedgerTransaction,
  attempt: AttemptRow,
  columns: {
    answer?: string;
    resend_after?: Date | null;
    provider_refund_id?: string | null;
    evidence?: string;
    matched_by?: AttemptRow['matched_by'];
    absent_reads?: string;
    doubts?: string;
    conclusion?: AttemptRow['conclusion'];
    concluded_at?: Date | null;
  },
): Promise<void> {
  await trx
    .updateTable('provider_attempts')
    .set(columns)
    .where('refund_id', '=', attempt.refund_id)
    .where('number', '=', attempt.number)
    .execute();
}

export function landed(
  providerRefundId: string | null,
  source: EvidenceSource,
  providerStatus: string,
  observedAtMs: number,
): AttemptColumns {
  const evidence: Evidence = { source, observedAt: new Date(observedAtMs).toISOString(), providerStatus };
  return {
    provider_refund_id: providerRefundId,
    evidence: JSON.stringify(evidence),
    conclusion: 'landed',
    concluded_at: new Date(observedAtMs),
  };
}

/** The refund that has the provider's id already, by another attempt than this one. */
export async function otherOwner(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  providerRefundId: string | null,
): Promise<string | null> {
  if (providerRefundId === null) return null;
  // Refunds of two payments share no lock, and one id may come back for both at once.
  const id = `${refund.provider} ${providerRefundId}`;
  await sql`SELECT pg_advisory_xact_lock(hashtextextended(${id}, 0))`.execute(trx);
  const owner = await trx
    .selectFrom('provider_attempts')
    .innerJoin('payments', 'payments.id', 'provider_attempts.payment_id')
    .select('provider_attempts.refund_id')
    .where('payments.provider', '=', refund.provider)
    .where('provider_attempts.provider_refund_id', '=', providerRefundId)
    .where((where) =>
      where.or([
        where('provider_attempts.refund_id', '<>', refund.id),
        where('provider_attempts.number', '<>', attempt.number),
      ]),
    )
    .executeTakeFirst();
  return owner?.refund_id ?? null;
}

/** `refund` of the subject is the row as it is now. */
export async function noticeLateMoney(
  trx: LedgerTransaction,
  { payment, refund, attempts, attempt }: Subject,
  hasLanded: boolean,
  nowMs: number,
): Promise<void> {
  const others = attempts.filter((other) => other.number !== attempt.number);
  const late = { number: attempt.number, landed: hasLanded, others };
  await faceLateMoney(trx, { payment, refund }, late, nowMs);
}

/** A transition where the pending reason changes by it, else an event alone: no answer goes unwritten. */
export async function showOrAppend(
  trx: LedgerTransaction,
  refund: RefundRow,
  reason: PendingReason,
  event: { type: string; data: Record<string, unknown> },
  nowMs: number,
  providerError?: ProviderError,
): Promise<RefundRow> {
  return refund.status === 'pending' && refund.pending_reason !== reason
    ? showPending(trx, refund, reason, event, nowMs, providerError)
    : appendEvent(trx, refund, event, nowMs);
}

/** An event that leaves the status as it is; the chain's end on the refund moves with it. */
export async function appendEvent(
  trx: LedgerTransaction,
  refund: RefundRow,
  event: Pick<TrailEvent, 'type' | 'data'> & Partial<TrailEvent>,
  nowMs: number,
): Promise<RefundRow> {
  return changeRefund(trx, refund, { ...BY_THE_SERVICE, ...event, occurredAtMs: nowMs });
}

export async function reread(trx: LedgerTransaction, refund: RefundRow): Promise<RefundRow> {
  return trx.selectFrom('refunds').selectAll().where('id', '=', refund.id).executeTakeFirstOrThrow();
}
