/** How long people may take, and what they are told meanwhile. */
import { isOpen } from '../domain/refund.js';
import type { ApprovalStanding, Reminder } from '../domain/saga-state.js';
import { missingApprovals } from '../domain/vote.js';
import { approvalStanding, handleMessage, roundOf, type Handled } from './approval-standing.js';
import { appendEvent } from './attempt-writes.js';
import type { Database, LedgerTransaction } from './database.js';
import type { ProvenMessage } from './front-door-messages.js';
import { lockRefund, transition, type RefundRow } from './refunds.js';
import { endUnsent } from './settlement.js';

export interface ExtensionMessage extends ProvenMessage {
  readonly action: 'extend';
  readonly contentHash: string;
  readonly expiresAtMs: number;
  readonly requestId: string;
}

export type ExtensionVerdict =
  | { readonly kind: 'done' | 'repeated' }
  | {
      readonly kind: 'refused';
      readonly code: 'already_final' | 'approval_conflict' | 'extension_beyond_window' | 'not_later';
      readonly detail: string;
    };

/** Moves the end of the wait, within the window. */
export function extendApproval(
  db: Database,
  message: ExtensionMessage,
  nowMs: number,
): Promise<Handled<ExtensionVerdict>> {
  return handleMessage<ExtensionVerdict>(db, message, nowMs, async (trx, refund) => {
    const verdict = judgeExtension(refund, message, nowMs);
    if (verdict.kind === 'done') {
      const expiresAt = new Date(message.expiresAtMs);
      await transition(
        trx,
        refund,
        { status: 'requires_approval' },
        {
          type: 'approval_extended',
          actor: message.actor,
          requestId: message.requestId,
          data: {
            round: refund.approval_round,
            expired_at: refund.approval_expires_at?.toISOString() ?? null,
            expires_at: expiresAt.toISOString(),
          },
        },
        nowMs,
        { approval_expires_at: expiresAt },
      );
    }
    return { verdict, wakeRefundId: null };
  });
}

export interface Expiry {
  readonly standing: ApprovalStanding;
  readonly wakeRefundId: string | null;
}

/** Ends the wait where its time is over, and gives the reservation back. Safe to repeat. */
export async function expireApproval(db: Database, refundId: string, nowMs: number): Promise<Expiry> {
  return db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, refundId);
    const endsAtMs = refund.approval_expires_at?.getTime() ?? Infinity;
    if (refund.status !== 'requires_approval' || nowMs < endsAtMs) {
      return { standing: await approvalStanding(trx, refund), wakeRefundId: null };
    }
    const endedBy = refund.submit_before?.getTime() === endsAtMs ? 'window' : 'policy';
    const missing = missingApprovals(await roundOf(trx, refund));
    const data = { round: refund.approval_round, ended_by: endedBy, missing };
    const wakeRefundId = await endUnsent(trx, refund, 'expired', { type: 'refund_expired', data }, nowMs);
    const { refund: after } = await lockRefund(trx, refundId);
    return { standing: await approvalStanding(trx, after), wakeRefundId };
  });
}

/** Tells people once what time it is, in the trail, and the process how the approval stands. Safe to repeat. */
export async function noteReminder(
  db: Database,
  refundId: string,
  of: Reminder,
  nowMs: number,
): Promise<{ readonly isNews: boolean; readonly standing: ApprovalStanding }> {
  return db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, refundId);
    const standing = await approvalStanding(trx, refund);
    if (!isAwaited(refund, of) || (await wasTold(trx, refundId, of))) return { isNews: false, standing };
    await appendEvent(
      trx,
      refund,
      { type: EVENT_TYPES[of.kind], data: await reminderData(trx, refund, of, nowMs) },
      nowMs,
    );
    return { isNews: true, standing };
  });
}

const DAY_MS = 86_400_000;

const EVENT_TYPES: Readonly<Record<Reminder['kind'], string>> = {
  reminder: 'approval_reminder',
  escalation: 'approval_escalated',
  windowClosing: 'window_closing',
};

function isAwaited(refund: RefundRow, of: Reminder): boolean {
  if (of.kind === 'windowClosing') return isOpen(refund.status);
  return refund.status === 'requires_approval' && refund.approval_round === of.round;
}

async function wasTold(trx: LedgerTransaction, refundId: string, of: Reminder): Promise<boolean> {
  const told = await trx
    .selectFrom('refund_events')
    .select('data')
    .where('refund_id', '=', refundId)
    .where('type', '=', EVENT_TYPES[of.kind])
    .execute();
  return told.some(({ data }) => {
    switch (of.kind) {
      case 'reminder':
        return data['round'] === of.round && Number(data['number']) >= of.number;
      case 'escalation':
        return data['round'] === of.round;
      case 'windowClosing':
        return Number(data['warned_at_days_left']) <= of.daysLeft;
    }
  });
}

async function reminderData(
  trx: LedgerTransaction,
  refund: RefundRow,
  of: Reminder,
  nowMs: number,
): Promise<Record<string, unknown>> {
  const waits =
    refund.status === 'requires_approval'
      ? {
          missing: missingApprovals(await roundOf(trx, refund)),
          expires_at: refund.approval_expires_at?.toISOString() ?? null,
        }
      : { pending_reason: refund.pending_reason };
  switch (of.kind) {
    case 'reminder':
      return { round: of.round, number: of.number, ...waits };
    case 'escalation':
      return { round: of.round, ...waits };
    case 'windowClosing':
      return {
        warned_at_days_left: of.daysLeft,
        // Told late, or of a window that was short from the start, it still says the truth.
        days_left: Math.ceil((Number(refund.refund_deadline) - nowMs) / DAY_MS),
        refund_deadline: refund.refund_deadline?.toISOString() ?? null,
        submit_before: refund.submit_before?.toISOString() ?? null,
        ...waits,
      };
  }
}

/** Whether an operator may move the end so. Pure. */
export function judgeExtension(
  refund: RefundRow,
  { contentHash, expiresAtMs }: Pick<ExtensionMessage, 'contentHash' | 'expiresAtMs'>,
  nowMs: number,
): ExtensionVerdict {
  const endsAtMs = refund.approval_expires_at?.getTime() ?? 0;
  if (refund.status !== 'requires_approval' || nowMs >= endsAtMs) {
    const detail =
      refund.status === 'requires_approval'
        ? `The time for votes ended at ${new Date(endsAtMs).toISOString()}.`
        : `The refund is ${refund.status}: it waits for no approval.`;
    return { kind: 'refused', code: 'already_final', detail };
  }
  if (contentHash !== refund.content_hash) {
    return {
      kind: 'refused',
      code: 'approval_conflict',
      detail: 'Another approval was opened meanwhile: look again.',
    };
  }
  if (expiresAtMs === endsAtMs) return { kind: 'repeated' };
  const submitBefore = refund.submit_before;
  if (submitBefore && expiresAtMs > submitBefore.getTime()) {
    const detail = `It can be sent until ${submitBefore.toISOString()}: an approval after that is worth nothing.`;
    return { kind: 'refused', code: 'extension_beyond_window', detail };
  }
  if (expiresAtMs < endsAtMs) {
    const detail = `It ends at ${new Date(endsAtMs).toISOString()} already: name a later instant.`;
    return { kind: 'refused', code: 'not_later', detail };
  }
  return { kind: 'done' };
}
