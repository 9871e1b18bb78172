import type { FailureReason } from '../src/domain/refund.js';
import { takeLane as takeLaneInLedger } from '../src/ledger/lanes.js';
import { compensateRefund, moveToReview, settleRefund, type Closing } from '../src/ledger/settlement.js';
import type { ActivityDeps } from './deps.js';
import type { ClosingResult, LedgerActivities } from './interface.js';

export function takeLane(
  deps: ActivityDeps,
  input: { refundId: string },
): ReturnType<LedgerActivities['takeLane']> {
  return takeLaneInLedger(deps.db, input.refundId, deps.nowMs());
}

export async function settle(deps: ActivityDeps, input: { refundId: string }): Promise<ClosingResult> {
  return closingResult(deps, input.refundId, await settleRefund(deps.db, input.refundId, deps.nowMs()));
}

export async function compensate(
  deps: ActivityDeps,
  input: { refundId: string; reason: FailureReason },
): Promise<ClosingResult> {
  return closingResult(
    deps,
    input.refundId,
    await compensateRefund(deps.db, input.refundId, input.reason, deps.nowMs()),
  );
}

export async function review(deps: ActivityDeps, input: { refundId: string; why: string }): Promise<void> {
  const refund = await moveToReview(deps.db, input.refundId, input.why, deps.nowMs());
  deps.log.warn({ refundId: refund.id, provider: refund.provider, why: input.why }, 'a refund needs review');
}

export function closingResult(deps: ActivityDeps, refundId: string, closing: Closing): ClosingResult {
  if (closing.kind === 'refused') {
    deps.log.error({ refundId, why: closing.why }, 'the ledger refused a closing step');
    return closing;
  }
  return { kind: 'closed', status: closing.refund.status, wakeRefundId: closing.wakeRefundId };
}
