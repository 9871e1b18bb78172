import { isOpen } from '../../src/domain/refund.js';
import { attemptsOf, refundOf, review, type AttemptRow, type Books } from './books.js';

/** An attempt has landed, or is open again, where the ledger no longer expected it. */
export function noticeLateMoney(books: Books, attempt: AttemptRow, hasLanded: boolean, nowMs: number): void {
  const { payment } = books;
  const refund = refundOf(books, attempt.refundId);
  const others = attemptsOf(books, refund.id).filter((other) => other !== attempt);
  const landedTwice = hasLanded && others.some(({ conclusion }) => conclusion === 'landed');
  const anotherIsLive = others.some(({ conclusion }) => conclusion === null || conclusion === 'landed');
  if (isOpen(refund.status) && refund.money === 'reserved' && !anotherIsLive) return;

  const availableMinor = payment.amountMinor - payment.refundedMinor - payment.reservedMinor;
  const reserveAgain = refund.money === 'released' && refund.amountMinor <= availableMinor;
  const countAsExternal = landedTwice || (hasLanded && refund.money === 'released' && !reserveAgain);
  if (refund.status === 'review' && !reserveAgain && !countAsExternal) return;

  if (reserveAgain) {
    payment.reservedMinor += refund.amountMinor;
    refund.money = 'reserved';
  }
  if (countAsExternal) {
    payment.externalMinor += refund.amountMinor;
    payment.externalReadAtMs = nowMs;
  }
  const hadEnded = !isOpen(refund.status) || refund.reviewEndsBy === 'person';
  review(
    refund,
    landedTwice
      ? 'The provider carried it out twice.'
      : 'An attempt that the ledger had written off shows up at the provider.',
    hadEnded || landedTwice ? 'person' : 'provider',
  );
}
