import { approvalEndMs, approvalsRequired } from '../../src/domain/approval.js';
import { decideEligibility, UNLIMITED } from '../../src/domain/eligibility.js';
import { FACTS } from './attempts.js';
import type { ApprovalRow, Books, Reading, RefundRow } from './books.js';
import { bookExternal, standingOf } from './standing.js';

export type AskedRefund = Pick<RefundRow, 'id' | 'amountMinor' | 'submitBeforeMs' | 'requestedBy'>;

/** Decides and reserves; null where a rule is broken. */
export function admitRefund(
  books: Books,
  asked: AskedRefund,
  reading: Reading | null,
  nowMs: number,
): RefundRow | null {
  const { payment, capabilities } = books;
  const { id, amountMinor, submitBeforeMs, requestedBy } = asked;
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
  const approval = approvalOf(books, asked, nowMs);
  payment.reservedMinor += amountMinor;
  const refund: RefundRow = {
    id,
    amountMinor,
    submitBeforeMs,
    createdAtMs: nowMs,
    requestedBy,
    version: 1,
    status: approval ? 'requires_approval' : 'pending',
    money: 'reserved',
    attempt: 0,
    reviewReason: null,
    reviewEndsBy: null,
    failureReason: null,
    approval,
    told: [],
  };
  books.refunds.push(refund);
  return refund;
}

/** The first round of votes; null: nobody need agree. */
function approvalOf({ approvalPolicy: policy, payment }: Books, asked: AskedRefund, nowMs: number) {
  if (!policy) return null;
  const { id, amountMinor, submitBeforeMs, requestedBy } = asked;
  const required = approvalsRequired(policy.rules, {
    amountMinor,
    heldMinor: payment.refundedMinor + payment.reservedMinor,
    reason: 'requested_by_customer',
    provider: FACTS.provider,
    requester: requestedBy,
  });
  if (required === 0) return null;
  return {
    required,
    round: 1,
    openedBy: requestedBy,
    contentHash: contentHashOf(id, 1),
    requestedAtMs: nowMs,
    expiresAtMs: approvalEndMs(nowMs, policy.expiresAfterMs, submitBeforeMs),
    votes: [],
    ends: [],
  } satisfies ApprovalRow;
}

/** Nothing else of a refund ever changes. */
export function contentHashOf(refundId: string, round: number): string {
  return `${refundId}/${round}`;
}
