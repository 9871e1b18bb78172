import { decideEligibility, UNLIMITED } from '../../src/domain/eligibility.js';
import { FACTS } from './attempts.js';
import type { Books, Reading, RefundRow } from './books.js';
import { bookExternal, standingOf } from './standing.js';

/** Decides and reserves; null where a rule is broken. */
export function admitRefund(
  books: Books,
  asked: Pick<RefundRow, 'id' | 'amountMinor' | 'submitBeforeMs'>,
  reading: Reading | null,
  nowMs: number,
): RefundRow | null {
  const { payment, capabilities } = books;
  const { id, amountMinor, submitBeforeMs } = asked;
  const standing = standingOf(books);
  if (reading) bookExternal(books, standing, reading);
  const { broken } = decideEligibility(
    { amountMinor, currency: null, expectedRefundableMinor: null },
    {
      capabilities,
      providerEnabled: true,
      payment: { ...FACTS, ...payment },
      snapshot: reading,
      unknownAtProvider: false,
      window: submitBeforeMs === null ? null : { deadlineMs: submitBeforeMs, submitBeforeMs },
      liveRefunds: standing.liveRefunds,
      limits: UNLIMITED,
      nowMs,
    },
  );
  if (broken.length > 0) return null;
  payment.reservedMinor += amountMinor;
  const refund: RefundRow = {
    id,
    amountMinor,
    submitBeforeMs,
    createdAtMs: nowMs,
    status: 'pending',
    money: 'reserved',
    attempt: 0,
    reviewReason: null,
    reviewEndsBy: null,
    failureReason: null,
  };
  books.refunds.push(refund);
  return refund;
}
