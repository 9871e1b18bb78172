/** How an attempt's row and its refund's trail change together, whatever brought the news. */
import { sql, type QueryCreator, type Updateable, type UpdateQueryBuilder, type UpdateResult } from 'kysely';
import type { ProviderError } from '../domain/provider.js';
import type { Evidence, EvidenceSource, PendingReason } from '../domain/refund.js';
import type { AttemptRow } from './attempts.js';
import type { LedgerTransaction, Schema } from './database.js';
import { changeRefund, type TrailEvent, type WriteBeside } from './event-chain.js';
import { fixedQuery } from './fixed-query.js';
import { faceLateMoney } from './late-money.js';
import { BY_THE_SERVICE, transition, type PaymentRow, type RefundRow } from './refunds.js';

/** One attempt with all that it is judged by, read under the payment's lock. */
export interface Subject {
  readonly payment: PaymentRow;
  readonly refund: RefundRow;
  readonly attempts: readonly AttemptRow[];
  readonly attempt: AttemptRow;
}

/** What may change of an attempt. */
export type AttemptColumns = Pick<
  Updateable<Schema['provider_attempts']>,
  | 'answer'
  | 'resend_after'
  | 'provider_refund_id'
  | 'evidence'
  | 'matched_by'
  | 'absent_reads'
  | 'doubts'
  | 'conclusion'
  | 'concluded_at'
  | 'watched_until'
>;

export async function updateAttempt(
  trx: LedgerTransaction,
  attempt: AttemptRow,
  columns: AttemptColumns,
): Promise<void> {
  await attemptUpdate(attempt, columns)(trx).execute();
}

/** The same, to be written beside an event. */
export function attemptUpdate(
  attempt: AttemptRow,
  columns: AttemptColumns,
): (
  query: QueryCreator<Schema>,
) => UpdateQueryBuilder<Schema, 'provider_attempts', 'provider_attempts', UpdateResult> {
  return (query: QueryCreator<Schema>) =>
    query
      .updateTable('provider_attempts')
      .set(columns)
      .where('refund_id', '=', attempt.refund_id)
      .where('number', '=', attempt.number);
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
  const locked = sql`SELECT pg_advisory_xact_lock(hashtextextended(${id}, 0))`.execute(trx);
  const found = ownersOf(trx, {
    provider: refund.provider,
    providerRefundId,
    refundId: refund.id,
    number: attempt.number,
  });
  const [, [owner]] = await Promise.all([locked, found]);
  return owner?.refund_id ?? null;
}

interface OtherThan {
  readonly provider: string;
  readonly providerRefundId: string;
  readonly refundId: string;
  readonly number: number;
}

const ownersOf = fixedQuery((trx, given: OtherThan) =>
  trx
    .selectFrom('provider_attempts')
    .innerJoin('payments', 'payments.id', 'provider_attempts.payment_id')
    .select('provider_attempts.refund_id')
    .where('payments.provider', '=', given.provider)
    .where('provider_attempts.provider_refund_id', '=', given.providerRefundId)
    .where((where) =>
      where.or([
        where('provider_attempts.refund_id', '<>', given.refundId),
        where('provider_attempts.number', '<>', given.number),
      ]),
    ),
);

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
  { beside = [], error }: { readonly beside?: readonly WriteBeside[]; readonly error?: ProviderError } = {},
): Promise<RefundRow> {
  if (refund.status !== 'pending' || refund.pending_reason === reason) {
    return appendEvent(trx, refund, event, nowMs, { beside });
  }
  const change = {
    status: 'pending' as const,
    pendingReason: reason,
    ...(error && { providerError: error }),
  };
  return transition(trx, refund, change, event, nowMs, {}, beside);
}

/** An event that leaves the status as it is; the chain's end on the refund moves with it. */
export async function appendEvent(
  trx: LedgerTransaction,
  refund: RefundRow,
  event: Pick<TrailEvent, 'type' | 'data'> & Partial<TrailEvent>,
  nowMs: number,
  {
    columns,
    beside,
  }: { readonly columns?: { last_looked_at: Date }; readonly beside?: readonly WriteBeside[] } = {},
): Promise<RefundRow> {
  const told = { ...BY_THE_SERVICE, ...event, occurredAtMs: nowMs };
  const written = await changeRefund(trx, refund, told, columns, beside);
  return written.refund;
}

export async function reread(trx: LedgerTransaction, refund: RefundRow): Promise<RefundRow> {
  return trx.selectFrom('refunds').selectAll().where('id', '=', refund.id).executeTakeFirstOrThrow();
}
