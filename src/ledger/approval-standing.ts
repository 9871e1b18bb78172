/** How the approval of a refund stands, and how what a person asks of it is handled once. */
import { isOpen } from '../domain/refund.js';
import type { ApprovalStanding, ApprovalWait } from '../domain/saga-state.js';
import { missingApprovals, type ApprovalRound, type Vote } from '../domain/vote.js';
import type { Database, LedgerTransaction } from './database.js';
import { handleOnce, type ProvenMessage } from './front-door-messages.js';
import { lockRefund, type RefundRow } from './refunds.js';

/** What a message came to, how the approval stands after it, and who waits for a lane that it gave back. */
export interface Handled<Verdict> {
  readonly verdict: Verdict;
  readonly standing: ApprovalStanding;
  readonly wakeRefundId: string | null;
}

/** Under the refund's lock, so that messages come one after the other. */
export async function handleMessage<Verdict>(
  db: Database,
  message: ProvenMessage,
  nowMs: number,
  decide: (
    trx: LedgerTransaction,
    refund: RefundRow,
  ) => Promise<{ verdict: Verdict; wakeRefundId: string | null }>,
): Promise<Handled<Verdict>> {
  return db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, message.refundId);
    const handled = await handleOnce(trx, message, nowMs, () => decide(trx, refund));
    const after = await lockRefund(trx, message.refundId);
    return { ...handled, standing: await approvalStanding(trx, after.refund) };
  });
}

/** The caller holds the refund's row, or needs no more than a glance. */
export async function approvalStanding(
  db: Database | LedgerTransaction,
  refund: RefundRow,
): Promise<ApprovalStanding> {
  const { version, status } = refund;
  if (status === 'requires_approval') return approvalWait(db, refund);
  if (!isOpen(status)) return { state: 'closed', version, status };
  return { state: status === 'review' ? 'review' : 'approved', version };
}

/** @throws where the refund waits for no approval. */
export async function approvalWait(
  db: Database | LedgerTransaction,
  refund: RefundRow,
): Promise<ApprovalWait> {
  const { approval_requested_at: requestedAt, approval_expires_at: expiresAt } = refund;
  if (!requestedAt || !expiresAt) throw new Error('a refund that waits for approval has no end of it');
  const round = await roundOf(db, refund);
  return {
    state: 'waiting',
    version: refund.version,
    round: refund.approval_round,
    required: round.required,
    missing: missingApprovals(round),
    requestedAtMs: requestedAt.getTime(),
    expiresAtMs: expiresAt.getTime(),
  };
}

export async function roundOf(db: Database | LedgerTransaction, refund: RefundRow): Promise<ApprovalRound> {
  const rows = await db
    .selectFrom('votes')
    .select(['actor', 'decision', 'content_hash'])
    .where('refund_id', '=', refund.id)
    .execute();
  const votes = rows.map(({ actor, decision, content_hash: contentHash }): Vote => ({
    actor,
    decision,
    contentHash,
  }));
  return {
    status: refund.status,
    requestedBy: refund.requested_by,
    openedBy: refund.approval_opened_by,
    contentHash: refund.content_hash,
    required: refund.approvals_required,
    expiresAtMs: refund.approval_expires_at?.getTime() ?? null,
    votes,
  };
}
