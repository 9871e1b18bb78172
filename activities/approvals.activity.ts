/** What people ask of a refund, and how long they may take. */
import { approvalStanding as standingInLedger } from '../src/ledger/approval-standing.js';
import { expireApproval, extendApproval as extendInLedger, noteReminder } from '../src/ledger/approvals.js';
import { cancelRefund as cancelInLedger } from '../src/ledger/cancellation.js';
import type { ProvenMessage } from '../src/ledger/front-door-messages.js';
import { loadRefund } from '../src/ledger/refunds.js';
import { recordForgery } from '../src/ledger/refused-messages.js';
import { castVote as castInLedger } from '../src/ledger/votes.js';
import { isProven } from '../src/signing/proof.js';
import type { ActivityDeps } from './deps.js';
import type {
  CancelMessage,
  CancelVerdict,
  ExtensionMessage,
  ExtensionVerdict,
  Handled,
  LedgerActivities,
  PersonsMessage,
  Received,
  VoteMessage,
  VoteVerdict,
} from './interface.js';

export function castVote(deps: ActivityDeps, received: Received<VoteMessage>): Promise<Handled<VoteVerdict>> {
  const { decision, comment, contentHash, requestId } = received.message.body;
  return whenProven(deps, received, decision, (message, nowMs) =>
    castInLedger(deps.db, { ...message, action: decision, comment, contentHash, requestId }, nowMs),
  );
}

export function extendApproval(
  deps: ActivityDeps,
  received: Received<ExtensionMessage>,
): Promise<Handled<ExtensionVerdict>> {
  const { expiresAtMs, contentHash, requestId } = received.message.body;
  return whenProven(deps, received, 'extend', (message, nowMs) =>
    extendInLedger(deps.db, { ...message, action: 'extend', expiresAtMs, contentHash, requestId }, nowMs),
  );
}

export function cancelRefund(
  deps: ActivityDeps,
  received: Received<CancelMessage>,
): Promise<Handled<CancelVerdict>> {
  const { reason, requestId } = received.message.body;
  return whenProven(deps, received, 'cancel', (message, nowMs) =>
    cancelInLedger(deps.db, { ...message, action: 'cancel', reason, requestId }, nowMs),
  );
}

export function expire(
  deps: ActivityDeps,
  { refundId, nowMs }: { refundId: string; nowMs: number },
): ReturnType<LedgerActivities['expire']> {
  return expireApproval(deps.db, refundId, laterOf(deps, nowMs));
}

export async function remind(
  deps: ActivityDeps,
  { refundId, of, nowMs }: Parameters<LedgerActivities['remind']>[0],
): ReturnType<LedgerActivities['remind']> {
  const { isNews, standing } = await noteReminder(deps.db, refundId, of, laterOf(deps, nowMs));
  if (isNews) deps.log.warn({ refundId, ...of }, 'a refund waits, and its time runs');
  return standing;
}

export async function approvalStanding(
  deps: ActivityDeps,
  { refundId }: { refundId: string },
): ReturnType<LedgerActivities['approvalStanding']> {
  const { refund } = await loadRefund(deps.db, refundId);
  return standingInLedger(deps.db, refund);
}

/** A message that the front door did not vouch for changes nothing; that it came is kept. */
async function whenProven<Action extends ProvenMessage['action'], Verdict>(
  deps: ActivityDeps,
  { refundId, message: { body, proof }, nowMs }: Received<PersonsMessage>,
  action: Action,
  handle: (message: ProvenMessage & { readonly action: Action }, nowMs: number) => Promise<Handled<Verdict>>,
): Promise<Handled<Verdict>> {
  const isOurs = body.refundId === refundId && isProven(deps.frontDoorKeys, action, body, proof);
  if (!isOurs || proof === undefined) {
    deps.log.error({ refundId, action }, 'a message without the proof of the front door was refused');
    await recordForgery(deps.db, refundId, { action, claimedActor: body.actor }, deps.nowMs());
    return { verdict: { kind: 'unproven' }, standing: null, wakeRefundId: null };
  }
  const { actor, nonce } = body;
  return handle({ refundId, action, actor, nonce, proof }, laterOf(deps, nowMs));
}

/** Windows and waits follow the later of the workflow's clock and ours. */
function laterOf(deps: ActivityDeps, nowMs: number): number {
  return Math.max(nowMs, deps.nowMs());
}
