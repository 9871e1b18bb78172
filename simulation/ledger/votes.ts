import { assertNever } from '../../src/domain/errors.js';
import type { VoteDecision } from '../../src/domain/vote.js';
import { handleMessage, roundOf, type Handled, type Message } from './approval-standing.js';
import { transition, type Books, type RefundRow } from './books.js';
import { endUnsent } from './settlement.js';

/** Counts a vote, once; the last one that is needed decides in the same step. */
export function castVote(books: Books, message: Message, decision: VoteDecision, nowMs: number): Handled {
  const { actor, contentHash } = message;
  return handleMessage(books, message, (refund) => {
    const judgement = books.rules.judgeVote(roundOf(refund), { actor, decision, contentHash }, nowMs);
    switch (judgement.kind) {
      case 'repeated':
        return { verdict: 'repeated', wakeRefundId: null };
      case 'refused':
        return { verdict: judgement.code, wakeRefundId: null };
      case 'approves':
        storeVote(refund, message, decision);
        if (judgement.missing <= 0) transition(refund, 'pending');
        return { verdict: 'approves', wakeRefundId: null };
      case 'rejects':
        storeVote(refund, message, decision);
        return { verdict: 'rejects', wakeRefundId: endUnsent(books, refund, 'rejected', nowMs) };
      default:
        return assertNever(judgement);
    }
  });
}

function storeVote(refund: RefundRow, { actor, contentHash }: Message, decision: VoteDecision): void {
  const { approval } = refund;
  approval?.votes.push({ actor, decision, contentHash, round: approval.round });
  transition(refund, 'requires_approval');
}
