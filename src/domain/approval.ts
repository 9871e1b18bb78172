import type { ApprovalRule } from './policy.js';
import type { RefundReason } from './refund.js';

/** What the policy's rules look at. */
export interface ApprovalSubject {
  readonly amountMinor: number;
  /** What the payment already has refunded and reserved, this refund not counted. */
  readonly heldMinor: number;
  readonly reason: RefundReason;
  readonly provider: string;
  readonly requester: string;
}

/** How many people must agree: the highest rule that matches decides; 0 where none does. */
export function approvalsRequired(rules: readonly ApprovalRule[], subject: ApprovalSubject): number {
  const matching = rules.filter(({ when }) => matches(when, subject));
  return Math.max(0, ...matching.map(({ approvals }) => approvals));
}

/** The end of the wait for votes: the policy's, or the last instant for a submit (null: none) where that is earlier. */
export function approvalEndMs(
  requestedAtMs: number,
  expiresAfterMs: number,
  submitBeforeMs: number | null,
): number {
  return Math.min(requestedAtMs + expiresAfterMs, submitBeforeMs ?? Infinity);
}

function matches(when: ApprovalRule['when'], subject: ApprovalSubject): boolean {
  // With what went before: many small refunds of one payment need what one large one does.
  const paymentTotalMinor = subject.amountMinor + subject.heldMinor;
  return (
    paymentTotalMinor >= (when.amountGteMinor ?? 0) &&
    (when.reasons?.includes(subject.reason) ?? true) &&
    (when.providers?.includes(subject.provider) ?? true) &&
    (when.requesters?.includes(subject.requester) ?? true)
  );
}
