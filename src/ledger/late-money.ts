import { isOpen } from '../domain/refund.js';
import type { AttemptRow } from './attempts.js';
import type { LedgerTransaction } from './database.js';
import { transition, type PaymentRow, type RefundRow } from './refunds.js';
import { addExternal } from './standing.js';

/**
 * An attempt has landed, or is open again, where the ledger no longer expected it: after the refund ended, or beside
 * another attempt of it. The amount counts at once, and a person must look. Nothing happens to what was expected.
 *
 * The reservation is taken again where it still fits. Where it does not, and for the second landing of one refund,
 * money that left counts as external, which may overshoot; the next reading books that figure anew.
 */
export async function faceLateMoney(
  trx: LedgerTransaction,
  { payment, refund }: { payment: PaymentRow; refund: RefundRow },
  late: { readonly number: number; readonly landed: boolean; readonly others: readonly AttemptRow[] },
  nowMs: number,
): Promise<void> {
  const landedTwice = late.landed && late.others.some((other) => other.conclusion === 'landed');
  const anotherIsLive = late.others.some(
    (other) => other.conclusion === null || other.conclusion === 'landed',
  );
  if (isOpen(refund.status) && refund.money === 'reserved' && !anotherIsLive) return;

  const availableMinor = payment.amount_minor - payment.refunded_minor - payment.reserved_minor;
  const reserveAgain = refund.money === 'released' && refund.amount_minor <= availableMinor;
  const countAsExternal = landedTwice || (late.landed && refund.money === 'released' && !reserveAgain);
  if (refund.status === 'review' && !reserveAgain && !countAsExternal) return;

  if (reserveAgain) {
    await trx
      .updateTable('payments')
      .set((set) => ({ reserved_minor: set('reserved_minor', '+', refund.amount_minor) }))
      .where('id', '=', payment.id)
      .execute();
  }
  if (countAsExternal) await addExternal(trx, { refund, addedMinor: refund.amount_minor, readAtMs: nowMs });
  const reviewReason = landedTwice
    ? 'The provider carried it out twice.'
    : 'An attempt that the ledger had written off shows up at the provider.';
  // Who was told that it failed may have paid back in another way; what never ended is decided by the provider.
  const hadEnded = !isOpen(refund.status) || refund.review_ends_by === 'person';
  const endsBy = hadEnded || landedTwice ? 'person' : 'provider';
  const counted = countAsExternal ? 'external' : reserveAgain ? 'reserved' : 'already_reserved';
  await transition(
    trx,
    refund,
    { status: 'review', reviewReason, endsBy },
    { type: 'late_money_seen', data: { attempt: late.number, landed: late.landed, counted } },
    nowMs,
    reserveAgain ? { money: 'reserved' } : {},
  );
}
