import { FAILURE_REASONS, isOpen, type FailureReason } from '../domain/refund.js';
import type { LookResult } from '../domain/saga-state.js';
import {
  attemptsOf,
  lockWithAttempts,
  mayHaveMovedMoney,
  openOrLanded,
  type AttemptRow,
} from './attempts.js';
import type { Database, LedgerTransaction } from './database.js';
import type { TrailEvent, WriteBeside } from './event-chain.js';
import { releaseLane } from './lanes.js';
import { recordLookWithin, type Look } from './looks.js';
import { lockRefund, transition, type RefundRow } from './refunds.js';

export interface Closed {
  readonly kind: 'closed';
  readonly refund: RefundRow;
  readonly wakeRefundId: string | null;
}

export type Closing =
  | Closed
  /** The ledger's own record of the attempts says otherwise. */
  | { readonly kind: 'refused'; readonly why: string };

type ClosingEvent = Pick<TrailEvent, 'type' | 'data'> & Partial<TrailEvent>;

const AWAITS_PERSON: Closing = { kind: 'refused', why: 'a person must end its review' };

/** Reserved becomes refunded, once, on the evidence that the ledger itself holds. Safe to repeat. */
export async function settleRefund(db: Database, refundId: string, nowMs: number): Promise<Closing> {
  return db.transaction().execute((trx) => settleLanded(trx, refundId, nowMs));
}

/** A look, and the settlement of what it shows to have landed; the look's own result where nothing has. */
export async function lookAndSettle(db: Database, look: Look): Promise<LookResult | Closing> {
  return db.transaction().execute(async (trx) => {
    const result = await recordLookWithin(trx, look);
    return result.kind === 'landed' ? settleLanded(trx, look.refundId, look.nowMs) : result;
  });
}

async function settleLanded(trx: LedgerTransaction, refundId: string, nowMs: number): Promise<Closing> {
  const { refund, attempts } = await lockWithAttempts(trx, refundId);
  if (!isOpen(refund.status)) return { kind: 'closed', refund, wakeRefundId: null };
  if (refund.review_ends_by === 'person') return AWAITS_PERSON;
  const [attempt, second] = attempts.filter((candidate) => candidate.conclusion === 'landed');
  if (!attempt?.evidence) return { kind: 'refused', why: 'no attempt has landed' };
  if (second) return { kind: 'refused', why: 'more than one attempt has landed' };
  if (attempts.some((other) => other.conclusion === null)) {
    return { kind: 'refused', why: 'an attempt is open' };
  }
  if (refund.money !== 'reserved') return { kind: 'refused', why: 'nothing is reserved for it any more' };

  return settleWithin(trx, refund, attempt, { type: 'refund_succeeded', data: {} }, nowMs);
}

/** The caller holds the payment's row, and has judged. */
export async function settleWithin(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  event: ClosingEvent,
  nowMs: number,
): Promise<Closed> {
  if (!attempt.evidence) throw new Error('an attempt that landed has no evidence');
  const moneyMoves: WriteBeside = (query) =>
    query
      .updateTable('payments')
      .set((set) => ({
        refunded_minor: set('refunded_minor', '+', refund.amount_minor),
        reserved_minor: set('reserved_minor', '-', refund.money === 'reserved' ? refund.amount_minor : 0),
        settled_at: new Date(nowMs),
      }))
      .where('id', '=', refund.payment_id);
  const facts = {
    attempt: attempt.number,
    amount_minor: refund.amount_minor,
    provider_refund_id: attempt.provider_refund_id,
    matched_by: attempt.matched_by,
  };
  const settled = await transition(
    trx,
    refund,
    { status: 'succeeded', evidence: attempt.evidence },
    { ...event, data: { ...facts, ...event.data } },
    nowMs,
    { money: 'refunded', provider_refund_id: attempt.provider_refund_id },
    refund.money === 'refunded' ? [] : [moneyMoves],
  );
  return { kind: 'closed', refund: settled, wakeRefundId: await releaseLane(trx, refund, nowMs) };
}

/** The reservation is given back, once, and only where no attempt may have moved money. Safe to repeat. */
export async function compensateRefund(
  db: Database,
  refundId: string,
  reason: FailureReason,
  nowMs: number,
): Promise<Closing> {
  return db.transaction().execute(async (trx) => {
    const { refund, attempts } = await lockWithAttempts(trx, refundId);
    if (!isOpen(refund.status)) return { kind: 'closed', refund, wakeRefundId: null };
    if (refund.review_ends_by === 'person') return AWAITS_PERSON;
    if (openOrLanded(attempts)) return { kind: 'refused', why: 'an attempt is open or has landed' };
    // Whoever reaches Temporal may tell the process anything: what people decide ends by people, or by its time.
    if (refund.status === 'requires_approval') return { kind: 'refused', why: 'people are asked about it' };
    const isDeclined = attempts.some(({ conclusion }) => conclusion === 'declined');
    if (refund.status === 'review' && !isDeclined) return AWAITS_PERSON;
    const isReason = reason === 'provider_declined' ? isDeclined : FAILURE_REASONS.includes(reason);
    if (!isReason) return { kind: 'refused', why: 'nothing here fails of that' };
    return failWithin(trx, { refund, attempts, reason }, { type: 'refund_failed', data: {} }, nowMs);
  });
}

/** The caller holds the payment's row, and has judged. */
export async function failWithin(
  trx: LedgerTransaction,
  { refund, attempts, reason }: { refund: RefundRow; attempts: readonly AttemptRow[]; reason: FailureReason },
  event: ClosingEvent,
  nowMs: number,
): Promise<Closed> {
  const answer = attempts.at(-1)?.answer ?? null;
  const providerError = answer && 'error' in answer ? answer.error : null;
  // A refund that came back for review may have lost its reservation before, or have succeeded.
  if (refund.money !== 'released') {
    const isSettled = refund.money === 'refunded';
    await trx
      .updateTable('payments')
      .set((set) => ({
        reserved_minor: set('reserved_minor', '-', isSettled ? 0 : refund.amount_minor),
        refunded_minor: set('refunded_minor', '-', isSettled ? refund.amount_minor : 0),
        ...(isSettled ? { settled_at: new Date(nowMs) } : {}),
      }))
      .where('id', '=', refund.payment_id)
      .execute();
  }
  const failed = await transition(
    trx,
    refund,
    { status: 'failed', failureReason: reason, providerError },
    { ...event, data: { amount_minor: refund.amount_minor, ...event.data } },
    nowMs,
    { money: 'released' },
  );
  return { kind: 'closed', refund: failed, wakeRefundId: await releaseLane(trx, refund, nowMs) };
}

/** People or time ended it with nothing sent: the reservation is given back. The caller has judged, as above. */
export async function releaseWithin(
  trx: LedgerTransaction,
  refund: RefundRow,
  status: 'rejected' | 'expired' | 'canceled',
  event: ClosingEvent,
  nowMs: number,
): Promise<Closed> {
  await trx
    .updateTable('payments')
    .set((set) => ({ reserved_minor: set('reserved_minor', '-', refund.amount_minor) }))
    .where('id', '=', refund.payment_id)
    .execute();
  const released = await transition(
    trx,
    refund,
    { status },
    { ...event, data: { amount_minor: refund.amount_minor, ...event.data } },
    nowMs,
    { money: 'released' },
  );
  return { kind: 'closed', refund: released, wakeRefundId: await releaseLane(trx, refund, nowMs) };
}

/**
 * The end of a wait for people, unless an earlier sending shows up after all: saying no calls nothing back, so the
 * reservation stays until the provider has decided. The caller has judged, as above. @returns whom to wake.
 */
export async function endUnsent(
  trx: LedgerTransaction,
  refund: RefundRow,
  status: 'rejected' | 'expired',
  event: ClosingEvent,
  nowMs: number,
): Promise<string | null> {
  if (!(await attemptsOf(trx, refund.id)).some(mayHaveMovedMoney)) {
    return (await releaseWithin(trx, refund, status, event, nowMs)).wakeRefundId;
  }
  const reviewReason = `It was ${status}, but an earlier sending of it shows up at the provider.`;
  const change = { status: 'review' as const, reviewReason, endsBy: 'provider' as const };
  await transition(trx, refund, change, { ...event, type: 'review_required' }, nowMs);
  return null;
}

/** A person must look: nothing is released, nothing more is sent, the lane stays held while an attempt is open. */
export async function moveToReview(
  db: Database,
  refundId: string,
  why: string,
  nowMs: number,
): Promise<RefundRow> {
  return db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, refundId);
    if (refund.status === 'review' || !isOpen(refund.status)) return refund;
    if (refund.status === 'requires_approval' && !(await attemptsOf(trx, refundId)).some(mayHaveMovedMoney)) {
      return refund;
    }
    return transition(
      trx,
      refund,
      { status: 'review', reviewReason: why, endsBy: 'provider' },
      { type: 'review_required', data: {} },
      nowMs,
    );
  });
}
