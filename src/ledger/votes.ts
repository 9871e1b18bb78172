import { judgeVote, missingApprovals, type VoteDecision, type VoteRefusalCode } from '../domain/vote.js';
import { handleMessage, roundOf, type Handled } from './approval-standing.js';
import type { Database, LedgerTransaction } from './database.js';
import type { ProvenMessage } from './front-door-messages.js';
import { appendRefusal } from './refused-messages.js';
import { transition, type RefundRow } from './refunds.js';
import { endUnsent } from './settlement.js';

export interface VoteMessage extends ProvenMessage {
  readonly action: VoteDecision;
  readonly contentHash: string;
  readonly comment: string | null;
  readonly requestId: string;
}

export type VoteVerdict =
  | { readonly kind: 'done' | 'repeated' }
  | { readonly kind: 'refused'; readonly code: VoteRefusalCode; readonly detail: string };

/** Counts a vote, once, under the refund's lock; the last one that is needed decides in the same transaction. */
export function castVote(db: Database, message: VoteMessage, nowMs: number): Promise<Handled<VoteVerdict>> {
  return handleMessage<VoteVerdict>(db, message, nowMs, async (trx, refund) => {
    const vote = { actor: message.actor, decision: message.action, contentHash: message.contentHash };
    const judgement = judgeVote(await roundOf(trx, refund), vote, nowMs);
    switch (judgement.kind) {
      case 'repeated':
        return { verdict: { kind: 'repeated' }, wakeRefundId: null };
      case 'refused': {
        const { code, detail } = judgement;
        await appendRefusal(trx, refund, { ...message, code }, nowMs);
        return { verdict: { kind: 'refused', code, detail }, wakeRefundId: null };
      }
      case 'approves':
        return {
          verdict: { kind: 'done' },
          wakeRefundId: await approve(trx, refund, message, judgement.missing, nowMs),
        };
      case 'rejects':
        return { verdict: { kind: 'done' }, wakeRefundId: await reject(trx, refund, message, nowMs) };
    }
  });
}

async function approve(
  trx: LedgerTransaction,
  refund: RefundRow,
  message: VoteMessage,
  missing: number,
  nowMs: number,
): Promise<null> {
  const voted = await storeVote(trx, refund, message, missing, nowMs);
  if (missing > 0) return null;
  const data = { round: refund.approval_round, content_hash: refund.content_hash };
  await transition(
    trx,
    voted,
    { status: 'pending', pendingReason: 'validating' },
    { type: 'refund_approved', actor: message.actor, requestId: message.requestId, data },
    nowMs,
  );
  return null;
}

async function reject(
  trx: LedgerTransaction,
  refund: RefundRow,
  message: VoteMessage,
  nowMs: number,
): Promise<string | null> {
  const { actor, requestId, comment } = message;
  const missing = missingApprovals(await roundOf(trx, refund));
  const voted = await storeVote(trx, refund, message, missing, nowMs);
  const event = { actor, requestId, data: { round: refund.approval_round, comment } };
  const ending = { ...event, type: 'refund_rejected' };
  return endUnsent(trx, voted, 'rejected', ending, nowMs);
}

async function storeVote(
  trx: LedgerTransaction,
  refund: RefundRow,
  { actor, action: decision, contentHash, comment, proof, requestId }: VoteMessage,
  missing: number,
  nowMs: number,
): Promise<RefundRow> {
  const vote = { decision, content_hash: contentHash, comment, proof };
  await trx
    .insertInto('votes')
    .values({
      refund_id: refund.id,
      round: refund.approval_round,
      actor,
      ...vote,
      request_id: requestId,
      voted_at: new Date(nowMs),
    })
    .execute();
  return transition(
    trx,
    refund,
    { status: 'requires_approval' },
    {
      type: 'vote_cast',
      actor,
      requestId,
      data: { ...vote, round: refund.approval_round, missing },
    },
    nowMs,
  );
}
