/** What people ask of a refund that is not on its way yet: votes, more time, its end. */
import { isOpen } from '../domain/refund.js';
import { judgeVote, type VoteDecision } from '../domain/vote.js';
import { roundOf } from '../ledger/approval-standing.js';
import { judgeExtension, type ExtensionVerdict } from '../ledger/approvals.js';
import type { RefundRow } from '../ledger/refund-reads.js';
import { recordRefusal } from '../ledger/refused-messages.js';
import type { CancelBody, ExtensionBody, VoteBody } from './approval.schema.js';
import type { ApiDeps } from './deps.js';
import {
  existingRefund,
  notKnownYet,
  personsMessage,
  verdictWithin,
  type PersonsAsk,
} from './persons-message.js';
import { invalidRequest, Problem } from './problem.js';

/**
 * Has a vote counted, once. What the ledger can refuse at a glance it refuses without the refund's process, which may
 * be over; the rest is judged there under the refund's lock.
 * @throws Problem for everything but 200.
 */
export async function vote(
  deps: ApiDeps,
  decision: VoteDecision,
  ask: PersonsAsk<VoteBody>,
): Promise<RefundRow> {
  const refund = await existingRefund(deps, ask.refundId);
  const { content_hash: contentHash, comment = null } = ask.body;
  const ballot = { actor: ask.actor, decision, contentHash };
  const judgement = judgeVote(await roundOf(deps.db, refund), ballot, deps.nowMs());
  if (judgement.kind === 'repeated') return refund;
  if (judgement.kind === 'refused') {
    const { actor, requestId } = ask;
    const refusal = { action: decision, actor, requestId, code: judgement.code, contentHash };
    await recordRefusal(deps.db, refund.id, refusal, deps.nowMs());
    throw new Problem(judgement.code, judgement.detail);
  }
  const message = personsMessage(deps, decision, refund, ask, { decision, comment, contentHash });
  const verdict = await verdictWithin(deps, refund.id, () => deps.engine.vote(refund, message));
  if (verdict?.kind === 'refused') throw new Problem(verdict.code, verdict.detail);
  return asTheLedgerHasIt(deps, refund.id, async (now) => {
    const round = await roundOf(deps.db, now);
    return judgeVote(round, ballot, deps.nowMs()).kind === 'repeated';
  });
}

/** Gives people more time. @throws Problem for everything but 200. */
export async function extendApproval(deps: ApiDeps, ask: PersonsAsk<ExtensionBody>): Promise<RefundRow> {
  const refund = await existingRefund(deps, ask.refundId);
  const expiresAtMs = Date.parse(ask.body.expires_at);
  const asked = { contentHash: refund.content_hash, expiresAtMs };
  const judgement = judgeExtension(refund, asked, deps.nowMs());
  if (judgement.kind === 'repeated') return refund;
  if (judgement.kind === 'refused') throw extensionProblem(judgement);
  const message = personsMessage(deps, 'extend', refund, ask, { expiresAtMs });
  const verdict = await verdictWithin(deps, refund.id, () => deps.engine.extend(refund, message));
  if (verdict?.kind === 'refused') throw extensionProblem(verdict);
  return asTheLedgerHasIt(deps, refund.id, (now) => Number(now.approval_expires_at) >= expiresAtMs);
}

function extensionProblem({ code, detail }: Extract<ExtensionVerdict, { kind: 'refused' }>): Problem {
  return code === 'not_later' ? invalidRequest('/expires_at', detail) : new Problem(code, detail);
}

/** Ends a refund of which nothing is on its way. @throws Problem for everything but 200. */
export async function cancelRefund(deps: ApiDeps, ask: PersonsAsk<CancelBody>): Promise<RefundRow> {
  const refund = await existingRefund(deps, ask.refundId);
  if (refund.status === 'canceled') return refund;
  if (!isOpen(refund.status) || refund.status === 'review') {
    throw new Problem('not_cancelable', `The refund is ${refund.status}: it can not be canceled.`);
  }
  const message = personsMessage(deps, 'cancel', refund, ask, { reason: ask.body?.reason ?? null });
  const verdict = await verdictWithin(deps, refund.id, () => deps.engine.cancel(refund, message));
  if (verdict?.kind === 'refused') throw new Problem(verdict.code, verdict.detail);
  return asTheLedgerHasIt(deps, refund.id, (now) => now.status === 'canceled');
}

/** Whatever the engine said, or did not say in time: done is what the ledger shows as done. */
async function asTheLedgerHasIt(
  deps: ApiDeps,
  refundId: string,
  isDone: (now: RefundRow) => boolean | Promise<boolean>,
): Promise<RefundRow> {
  const now = await existingRefund(deps, refundId);
  if (await isDone(now)) return now;
  throw notKnownYet();
}
