import type { FailureReason } from '../domain/refund.js';
import { isOpen } from '../domain/refund.js';
import { attemptsOf } from './attempts.js';
import type { Database } from './database.js';
import { releaseLane } from './lanes.js';
import { lockRefund, transition, type RefundRow } from './refunds.js';

export type Closing =
  | { readonly kind: 'closed'; readonly refund: RefundRow; readonly wakeRefundId: string | null }
  /** The ledger's own record of the attempts says otherwise. */
  | { readonly kind: 'refused'; readonly why: string };

const AWAITS_PERSON: Closing = { kind: 'refused', why: 'a person must end its review' };

/** Reserved becomes refunded, once, on the evidence that the ledger itself holds. Safe to repeat. */
export async function settleRefund(db: Database, refundId: string, nowMs: number): Promise<Closing> {
  return db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, refundId);
    if (!isOpen(refund.status)) return { kind: 'closed', refund, wakeRefundId: null };
    if (refund.review_ends_by === 'person') return AWAITS_PERSON;
    const attempts = await attemptsOf(trx, refundId);
    const [attempt, second] = attempts.filter((candidate) => candidate.conclusion === 'landed');
    if (!attempt?.evidence) return { kind: 'refused', why: 'no attempt has landed' };
    if (second) return { kind: 'refused', why: 'more than one attempt has landed' };
    if (attempts.some((other) => other.conclusion === null)) {
      return { kind: 'refused', why: 'an attempt is open' };
    }
    if (refund.money !== 'reserved') return { kind: 'refused', why: 'nothing is reserved for it any more' };

    await trx
      .updateTable('payments')
      .set((set) => ({
        refunded_minor: set('refunded_minor', '+', refund.amount_minor),
        reserved_minor: set('reserved_minor', '-', refund.amount_minor),
        settled_at: new Date(nowMs),
      }))
      .where('id', '=', refund.payment_id)
      .execute();
    const settled = await transition(
      trx,
      refund,
      { status: 'succeeded', evidence: attempt.evidence },
      {
        type: 'refund_succeeded',
        data: {
          attempt: attempt.number,
          amount_minor: refund.amount_minor,
          provider_refund_id: attempt.provider_refund_id,
          matched_by: attempt.matched_by,
        },
      },
      nowMs,
      { money: 'refunded', provider_refund_id: attempt.provider_refund_id },
    );
    return { kind: 'closed', refund: settled, wakeRefundId: await releaseLane(trx, refund, nowMs) };
  });
}

/** The reservation is given back, once, and only where no attempt may have moved money. Safe to repeat. */
export async function compensateRefund(
  db: Database,
  refundId: string,
  reason: FailureReason,
  nowMs: number,
): Promise<Closing> {
  return db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, refundId);
    if (!isOpen(refund.status)) return { kind: 'closed', refund, wakeRefundId: null };
    if (refund.review_ends_by === 'person') return AWAITS_PERSON;
    const attempts = await attemptsOf(trx, refundId);
    if (attempts.some((attempt) => attempt.conclusion === null || attempt.conclusion === 'landed')) {
      return { kind: 'refused', why: 'an attempt is open or has landed' };
    }
    const answer = attempts.at(-1)?.answer ?? null;
    const providerError = answer && 'error' in answer ? answer.error : null;
    // A refund that came back for review may have lost its reservation before.
    if (refund.money === 'reserved') {
      await trx
        .updateTable('payments')
        .set((set) => ({ reserved_minor: set('reserved_minor', '-', refund.amount_minor) }))
        .where('id', '=', refund.payment_id)
        .execute();
    }
    const failed = await transition(
      trx,
      refund,
      { status: 'failed', failureReason: reason, providerError },
      { type: 'refund_failed', data: { amount_minor: refund.amount_minor } },
      nowMs,
      { money: 'released' },
    );
    return { kind: 'closed', refund: failed, wakeRefundId: await releaseLane(trx, refund, nowMs) };
  });
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
    return transition(
      trx,
      refund,
      { status: 'review', reviewReason: why, endsBy: 'provider' },
      { type: 'review_required', data: {} },
      nowMs,
    );
  });
}
