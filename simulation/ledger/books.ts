/**
 * The ledger in memory: one payment, its refunds and attempts. Each file beside this one follows its namesake in
 * src/ledger rule by rule; a function is a transaction, because nothing runs in between.
 */
import type { AbsentRead } from '../../src/domain/absence.js';
import type { Policy } from '../../src/domain/policy.js';
import { mayFollow, type FailureReason, type RefundStatus } from '../../src/domain/refund.js';
import type { PaymentSnapshot, ProviderCapabilities, SubmitOutcome } from '../../src/domain/provider.js';
import type { Reminder } from '../../src/domain/saga-state.js';
import type { Vote } from '../../src/domain/vote.js';
import type { Effect } from '../provider.js';
import type { Rules } from '../rules.js';

/** What the provider showed; `shows` is the truth behind it, for the invariants alone. */
export type Reading = PaymentSnapshot & { readonly readAtMs: number; readonly shows: readonly Effect[] };

export interface PaymentRow {
  readonly amountMinor: number;
  refundedMinor: number;
  reservedMinor: number;
  externalMinor: number;
  settledAtMs: number;
  externalReadAtMs: number;
}

export interface RefundRow {
  readonly id: string;
  readonly amountMinor: number;
  readonly submitBeforeMs: number | null;
  readonly createdAtMs: number;
  readonly requestedBy: string;
  /** One more with every change. */
  version: number;
  status: RefundStatus;
  money: 'reserved' | 'refunded' | 'released';
  attempt: number;
  reviewReason: string | null;
  /** Null outside review. */
  reviewEndsBy: 'provider' | 'person' | null;
  failureReason: FailureReason | null;
  /** Null: nobody need agree. */
  readonly approval: ApprovalRow | null;
  readonly told: Reminder[];
}

/** The present round, and the votes of all. */
export interface ApprovalRow {
  readonly required: number;
  round: number;
  openedBy: string;
  contentHash: string;
  requestedAtMs: number;
  expiresAtMs: number;
  readonly votes: VoteRow[];
  /** How its rounds ended. */
  readonly ends: string[];
}

export type VoteRow = Vote & { readonly round: number };

export interface AttemptRow {
  readonly refundId: string;
  readonly number: number;
  readonly amountMinor: number;
  readonly claimedAtMs: number;
  readonly snapshot: Reading;
  readonly knownAtClaim: { readonly landed: readonly string[]; readonly open: readonly string[] };
  sendByMs: number;
  sends: number;
  answer: SubmitOutcome | null;
  resendAfterMs: number | null;
  providerRefundId: string | null;
  matchedBy: 'id' | 'amount' | 'status' | null;
  absentReads: readonly AbsentRead[];
  conclusion: 'landed' | 'declined' | 'absent' | 'not_sent' | 'other_amount' | null;
}

export interface Books {
  readonly rules: Rules;
  readonly capabilities: ProviderCapabilities;
  /** Null: nobody votes. */
  readonly approvalPolicy: Policy['approval'] | null;
  readonly payment: PaymentRow;
  readonly refunds: RefundRow[];
  /** Ordered by refund, then number. */
  readonly attempts: AttemptRow[];
  readonly waiters: Map<string, number>;
  laneHolder: string | null;
  /** What became of each message that was handled, by its nonce. */
  readonly messages: Map<string, Outcome>;
  /** The last attempt before each resend that was carried out, by the decision's id; null: it was refused. */
  readonly resolutions: Map<string, number | null>;
  /** The readings that were believed and booked, for the invariants. */
  readonly booked: Set<Effect>;
}

export interface Outcome {
  readonly verdict: string;
  readonly wakeRefundId: string | null;
}

export function refundOf(books: Books, refundId: string): RefundRow {
  const refund = books.refunds.find(({ id }) => id === refundId);
  if (!refund) throw new Error(`no refund ${refundId}`);
  return refund;
}

export function attemptsOf(books: Books, refundId: string): AttemptRow[] {
  return books.attempts.filter((attempt) => attempt.refundId === refundId);
}

export function openOrLanded(attempts: readonly AttemptRow[]): AttemptRow | undefined {
  return (
    attempts.findLast((attempt) => attempt.conclusion === null) ??
    attempts.findLast((attempt) => attempt.conclusion === 'landed')
  );
}

export function keyOf({ refundId, number }: { refundId: string; number: number }): string {
  return `${refundId}/${number}`;
}

export function transition(refund: RefundRow, status: RefundStatus): void {
  if (!mayFollow(refund.status, status)) throw new Error(`a ${refund.status} refund can't become ${status}`);
  const { approval } = refund;
  if (approval && refund.status === 'requires_approval' && status !== 'requires_approval') {
    approval.ends.push(endOfRound(refund, approval, status));
  }
  refund.status = status;
  refund.version += 1;
  if (status !== 'review') refund.reviewEndsBy = null;
}

function endOfRound({ submitBeforeMs }: RefundRow, approval: ApprovalRow, status: RefundStatus): string {
  const by = approval.expiresAtMs === submitBeforeMs ? 'window' : 'policy';
  const end = status === 'pending' ? 'approved' : status === 'expired' ? `expired by the ${by}` : status;
  return approval.round === 1 ? end : `${end}, a later round`;
}

export function review(refund: RefundRow, why: string, endsBy: 'provider' | 'person'): void {
  transition(refund, 'review');
  refund.reviewReason = why;
  refund.reviewEndsBy = endsBy;
}

/** The refund that has the provider's id already, by another attempt than this one. */
export function otherOwner(
  books: Books,
  attempt: AttemptRow,
  providerRefundId: string | null,
): string | null {
  if (providerRefundId === null) return null;
  const owner = books.attempts.find(
    (other) => other !== attempt && other.providerRefundId === providerRefundId,
  );
  return owner?.refundId ?? null;
}
