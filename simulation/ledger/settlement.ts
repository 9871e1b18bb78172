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
import { mayHaveMovedMoney } from './attempts.js';
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
  const attempts = attemptsOf(books, refundId);
  if (!rules.mayRelease(attempts)) return { kind: 'refused' };
  if (!rules.isProcessToFail(refund, attempts)) return { kind: 'refused' };
  const isDeclined = attempts.some(({ conclusion }) => conclusion === 'declined');
  if (reason === 'provider_declined' && !isDeclined) return { kind: 'refused' };
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
  const mayHaveMoved = attemptsOf(books, refundId).some(mayHaveMovedMoney);
  if (refund.status === 'requires_approval' && !mayHaveMoved) return;
  review(refund, why, 'provider');
}

/** What people decide ends by people, or by its time; and a review by what the provider said, or by a person. */
export function isProcessToFail({ status }: RefundRow, attempts: readonly AttemptRow[]): boolean {
  if (status === 'review') return attempts.some(({ conclusion }) => conclusion === 'declined');
  return status !== 'requires_approval';
}

/** People or time ended it with nothing sent: the reservation is given back. The caller has judged. */
export function releaseWithin(
  books: Books,
  refund: RefundRow,
  status: 'rejected' | 'expired' | 'canceled',
  nowMs: number,
): string | null {
  books.rules.giveBack(books, refund);
  transition(refund, status);
  return releaseLane(books, refund.id, nowMs);
}

/** The end of a wait for people, unless an earlier sending shows up after all. Answers whom to wake. */
export function endUnsent(
  books: Books,
  refund: RefundRow,
  status: 'rejected' | 'expired',
  nowMs: number,
): string | null {
  if (books.rules.mayEnd(attemptsOf(books, refund.id))) return releaseWithin(books, refund, status, nowMs);
  review(refund, `It was ${status}, but an earlier sending of it shows up at the provider.`, 'provider');
  return null;
}

/** Nothing is ended by people or time that may be on its way. */
export function mayEnd(attempts: readonly AttemptRow[]): boolean {
  return !attempts.some(mayHaveMovedMoney);
}

export function giveBack({ payment }: Books, refund: RefundRow): void {
  payment.reservedMinor -= refund.amountMinor;
  refund.money = 'released';
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
