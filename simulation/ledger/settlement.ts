import { isOpen, type FailureReason } from '../../src/domain/refund.js';
import {
  attemptsOf,
  refundOf,
  review,
  transition,
  type AttemptRow,
  type Books,
  type RefundRow,
} from './books.js';
import { releaseLane } from './lanes.js';

export type Closing =
  { readonly kind: 'closed'; readonly wakeRefundId: string | null } | { readonly kind: 'refused' };

/** Reserved becomes refunded, once, on the evidence that the ledger itself holds. Safe to repeat. */
export function settleRefund(books: Books, refundId: string, nowMs: number): Closing {
  const { payment, rules } = books;
  const refund = refundOf(books, refundId);
  if (rules.isClosed(refund)) return { kind: 'closed', wakeRefundId: null };
  if (refund.reviewEndsBy === 'person') return { kind: 'refused' };
  if (!rules.maySettle(refund, attemptsOf(books, refundId))) return { kind: 'refused' };
  payment.refundedMinor += refund.amountMinor;
  payment.reservedMinor -= refund.amountMinor;
  payment.settledAtMs = nowMs;
  if (isOpen(refund.status)) transition(refund, 'succeeded');
  refund.money = 'refunded';
  return { kind: 'closed', wakeRefundId: releaseLane(books, refundId, nowMs) };
}

/** The reservation is given back, once, and only where no attempt may have moved money. Safe to repeat. */
export function compensateRefund(
  books: Books,
  refundId: string,
  reason: FailureReason,
  nowMs: number,
): Closing {
  const { payment, rules } = books;
  const refund = refundOf(books, refundId);
  if (!isOpen(refund.status)) return { kind: 'closed', wakeRefundId: null };
  if (refund.reviewEndsBy === 'person') return { kind: 'refused' };
  if (!rules.mayRelease(attemptsOf(books, refundId))) return { kind: 'refused' };
  if (refund.money === 'reserved') payment.reservedMinor -= refund.amountMinor;
  transition(refund, 'failed');
  refund.failureReason = reason;
  refund.money = 'released';
  return { kind: 'closed', wakeRefundId: releaseLane(books, refundId, nowMs) };
}

/** Nothing is released, nothing more is sent, the lane stays held. */
export function moveToReview(books: Books, refundId: string, why: string): void {
  const refund = refundOf(books, refundId);
  if (refund.status === 'review' || !isOpen(refund.status)) return;
  review(refund, why, 'provider');
}

export function isClosed(refund: RefundRow): boolean {
  return !isOpen(refund.status);
}

export function maySettle(refund: RefundRow, attempts: readonly AttemptRow[]): boolean {
  return (
    attempts.filter(({ conclusion }) => conclusion === 'landed').length === 1 &&
    attempts.every(({ conclusion }) => conclusion !== null) &&
    refund.money === 'reserved'
  );
}

export function mayRelease(attempts: readonly AttemptRow[]): boolean {
  return attempts.every(({ conclusion }) => conclusion !== null && conclusion !== 'landed');
}
