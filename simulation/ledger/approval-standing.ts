import { isOpen } from '../../src/domain/refund.js';
import type { ApprovalStanding, ApprovalWait } from '../../src/domain/saga-state.js';
import type { ApprovalRound, VoteDecision } from '../../src/domain/vote.js';
import { refundOf, type Books, type Outcome, type RefundRow } from './books.js';

/** What a person asks of a refund that exists. */
export interface Message {
  readonly refundId: string;
  readonly actor: string;
  /** One a message: a copy of it has the same. */
  readonly nonce: string;
  /** What the person saw. */
  readonly contentHash: string;
  readonly ask:
    | { readonly action: VoteDecision }
    | { readonly action: 'cancel' }
    | { readonly action: 'extend'; readonly expiresAtMs: number };
}

export type Handled = Outcome & { readonly standing: ApprovalStanding };

/** Handles a message once; a copy is told what came of it then. Both are told how the refund stands now. */
export function handleMessage(
  books: Books,
  { refundId, nonce }: Message,
  decide: (refund: RefundRow) => Outcome,
): Handled {
  const refund = refundOf(books, refundId);
  const outcome = books.messages.get(nonce) ?? decide(refund);
  books.messages.set(nonce, outcome);
  return { ...outcome, standing: approvalStanding(books, refund) };
}

export function approvalStanding(books: Books, refund: RefundRow): ApprovalStanding {
  const { version, status } = refund;
  if (status === 'requires_approval') return approvalWait(books, refund);
  if (!isOpen(status)) return { state: 'closed', version, status };
  return { state: status === 'review' ? 'review' : 'approved', version };
}

/** @throws where the refund waits for no approval. */
export function approvalWait({ rules }: Books, refund: RefundRow): ApprovalWait {
  const { approval, version } = refund;
  if (!approval) throw new Error('nobody need agree');
  const { round, required, requestedAtMs, expiresAtMs } = approval;
  const missing = rules.missingApprovals(roundOf(refund));
  return { state: 'waiting', version, round, required, missing, requestedAtMs, expiresAtMs };
}

export function roundOf({ status, requestedBy, approval }: RefundRow): ApprovalRound {
  return {
    status,
    requestedBy,
    openedBy: approval?.openedBy ?? null,
    contentHash: approval?.contentHash ?? '',
    required: approval?.required ?? 0,
    expiresAtMs: approval?.expiresAtMs ?? null,
    votes: approval?.votes ?? [],
  };
}
