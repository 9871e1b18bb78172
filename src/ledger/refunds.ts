import { sql, type Selectable } from 'kysely';
import { newsOf } from '../domain/news.js';
import type { ProviderError } from '../domain/provider.js';
import { mayFollow, type Evidence, type FailureReason, type PendingReason } from '../domain/refund.js';
import type { ApprovalState } from '../domain/vote.js';
import type { Database, LedgerTransaction, Schema } from './database.js';
import { changeRefund, type TrailEvent, type WriteBeside } from './event-chain.js';
import { fixedQuery } from './fixed-query.js';
import { noteNews } from './outbox.js';

export type RefundRow = Selectable<Schema['refunds']>;
export type PaymentRow = Selectable<Schema['payments']>;

/** Who writes when no person asked: the workflow's own steps. */
export const SERVICE_ACTOR = 'estorno';
/** Of an event that nobody asked for by name. */
export const BY_THE_SERVICE = {
  origin: 'service',
  actor: SERVICE_ACTOR,
  reason: null,
  requestId: null,
} as const;

export type StatusChange =
  /** `providerError`: what the provider said last; absent: nothing new, the last word stays. */
  | {
      readonly status: 'pending';
      readonly pendingReason: PendingReason;
      readonly providerError?: ProviderError;
    }
  | {
      readonly status: 'review';
      readonly reviewReason: string;
      readonly endsBy: 'provider' | 'person';
    }
  | { readonly status: 'succeeded'; readonly evidence: Evidence }
  | { readonly status: 'requires_approval' | 'rejected' | 'expired' | 'canceled' }
  /** What it succeeded by stays as its evidence; the event says what it went back by. */
  | { readonly status: 'reversed' }
  | {
      readonly status: 'failed';
      readonly failureReason: FailureReason;
      readonly providerError: ProviderError | null;
    };

export type Conclusion = Pick<Selectable<Schema['provider_attempts']>, 'number' | 'conclusion'>;

/** With what became of its attempts, of which the same are left out as by `attemptsOf`. */
export async function loadRefund(
  db: Database,
  refundId: string,
): Promise<{ payment: PaymentRow; refund: RefundRow; conclusions: readonly Conclusion[] }> {
  const { conclusions, ...row } = only(await withConclusions(db, { refundId }), refundId);
  return { ...apart(row), conclusions };
}

/**
 * Locks the payment, then the refund: always in this order, so that no two steps wait for each other. Rows are locked
 * in the order in which they are named, and whatever was waited for, both are read anew once they are locked.
 */
export async function lockRefund(
  trx: LedgerTransaction,
  refundId: string,
): Promise<{ payment: PaymentRow; refund: RefundRow }> {
  return apart(only(await bothLocked(trx, { refundId }), refundId));
}

function only<Row>([row]: readonly Row[], refundId: string): Row {
  if (row === undefined) throw new Error(`there is no refund ${refundId}`);
  return row;
}

const bothLocked = fixedQuery((trx, { refundId }: { refundId: string }) =>
  withPayment(trx, refundId).forUpdate(['payments', 'refunds']),
);

const withConclusions = fixedQuery((db, { refundId }: { refundId: string }) =>
  withPayment(db, refundId).select(
    sql<readonly Conclusion[]>`(
      SELECT coalesce(json_agg(json_build_object('number', number, 'conclusion', conclusion) ORDER BY number), '[]')
      FROM provider_attempts
      WHERE refund_id = refunds.id AND (conclusion IS NULL OR conclusion <> 'not_sent' OR number = refunds.attempt)
    )`.as('conclusions'),
  ),
);

const OF_PAYMENT = 'payment ';
// prettier-ignore
const PAYMENT_COLUMNS = [
  'id', 'provider', 'provider_payment_id', 'provider_payment_reference', 'amount_minor', 'currency', 'method',
  'paid_at', 'reference', 'metadata', 'refunded_minor', 'reserved_minor', 'external_minor', 'settled_at',
  'external_read_at', 'external_doubt', 'event_sequence', 'event_hash', 'event_mac', 'event_seal', 'created_by',
  'created_at',
] as const satisfies readonly (keyof PaymentRow)[];

/** The payment's columns by names of their own: some of the refund's are called the same. */
function withPayment(db: Database | LedgerTransaction, refundId: string) {
  return db
    .selectFrom('refunds')
    .innerJoin('payments', 'payments.id', 'refunds.payment_id')
    .selectAll('refunds')
    .select((row) => PAYMENT_COLUMNS.map((name) => row.ref(`payments.${name}`).as(OF_PAYMENT + name)))
    .where('refunds.id', '=', refundId);
}

function apart(row: Record<string, unknown>): { payment: PaymentRow; refund: RefundRow } {
  const payment: Record<string, unknown> = {};
  const refund: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(row)) {
    if (name.startsWith(OF_PAYMENT)) payment[name.slice(OF_PAYMENT.length)] = value;
    else refund[name] = value;
  }
  return {
    payment: payment as Pick<PaymentRow, (typeof PAYMENT_COLUMNS)[number]>,
    refund: refund as RefundRow,
  };
}

/** What may change beside the status. */
interface OwnColumns {
  readonly money?: RefundRow['money'];
  readonly attempt?: number;
  readonly provider_refund_id?: string | null;
  readonly content_hash?: string;
  readonly approval_round?: number;
  readonly approval_opened_by?: string;
  readonly approval_requested_at?: Date;
  readonly approval_expires_at?: Date;
}

/**
 * The one way in which a refund changes: compare-and-set on its version, with the event in the same transaction.
 * @throws when the status may not follow, or somebody else wrote in between: both are bugs, not outcomes.
 */
export async function transition(
  trx: LedgerTransaction,
  refund: RefundRow,
  change: StatusChange,
  event: Pick<TrailEvent, 'type' | 'data'> & Partial<TrailEvent>,
  nowMs: number,
  columns: OwnColumns = {},
  beside: readonly WriteBeside[] = [],
): Promise<RefundRow> {
  if (!mayFollow(refund.status, change.status)) {
    throw new Error(`a ${refund.status} refund can't become ${change.status}`);
  }
  const version = refund.version + 1;
  const { refund: written, isHeard } = await changeRefund(
    trx,
    refund,
    {
      ...BY_THE_SERVICE,
      ...event,
      occurredAtMs: nowMs,
      data: { ...event.data, status: change.status, ...detailOf(change), version },
    },
    {
      status: change.status,
      pending_reason: change.status === 'pending' ? change.pendingReason : null,
      failure_reason: change.status === 'failed' ? change.failureReason : null,
      review_reason: change.status === 'review' ? change.reviewReason : null,
      review_ends_by: change.status === 'review' ? change.endsBy : null,
      ...approvalAfter(refund, change.status),
      ...(change.status === 'succeeded'
        ? { evidence: JSON.stringify(change.evidence), provider_error: null }
        : {}),
      ...((change.status === 'failed' || change.status === 'pending') && change.providerError
        ? { provider_error: JSON.stringify(change.providerError) }
        : {}),
      ...columns,
      version,
      updated_at: new Date(nowMs),
    },
    beside,
  );
  if (isHeard) await noteNews(trx, written.id, newsOf(refund.status, written.status), nowMs);
  return written;
}

/** A round that is left ends with it, whatever it is left for. */
export function approvalAfter(
  { status: before }: Pick<RefundRow, 'status'>,
  status: StatusChange['status'],
): { approval_state?: ApprovalState } {
  if (status === 'requires_approval') return { approval_state: 'pending' };
  if (before !== 'requires_approval') return {};
  switch (status) {
    case 'pending':
      return { approval_state: 'approved' };
    case 'rejected':
    case 'expired':
      return { approval_state: status };
    case 'canceled':
    case 'failed':
    case 'succeeded':
    case 'review':
    case 'reversed':
      return { approval_state: 'canceled' };
  }
}

/** The code of a reading that contradicts the ledger, or can't be judged by it. */
export const UNUSABLE_READING = 'unusable_reading';

/** While a refund waits for its provider, that what is shown contradicts the ledger, or no longer does, is news. */
function isContradictionNews({ provider_error: before }: RefundRow, now: ProviderError | undefined): boolean {
  const codes = [before?.code, now?.code];
  return now !== undefined && before?.code !== now.code && codes.includes(UNUSABLE_READING);
}

/** Shows why a pending refund waits; silent where it says so already. */
export async function showPending(
  trx: LedgerTransaction,
  refund: RefundRow,
  pendingReason: PendingReason,
  event: Pick<TrailEvent, 'type' | 'data'>,
  nowMs: number,
  providerError?: ProviderError,
): Promise<RefundRow> {
  const isShown = refund.pending_reason === pendingReason && !isContradictionNews(refund, providerError);
  if (refund.status !== 'pending' || isShown) return refund;
  const change = { status: 'pending' as const, pendingReason, ...(providerError ? { providerError } : {}) };
  return transition(trx, refund, change, event, nowMs);
}

function detailOf(change: StatusChange): Record<string, unknown> {
  switch (change.status) {
    case 'pending':
      return { pending_reason: change.pendingReason };
    case 'review':
      return { review_reason: change.reviewReason, review_ends_by: change.endsBy };
    case 'succeeded':
      return { evidence: change.evidence };
    case 'requires_approval':
    case 'rejected':
    case 'expired':
    case 'canceled':
    case 'reversed':
      return {};
    case 'failed':
      return { failure_reason: change.failureReason, provider_error: change.providerError };
  }
}
