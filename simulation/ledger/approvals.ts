import { isOpen } from '../../src/domain/refund.js';
import type { ApprovalStanding, Reminder } from '../../src/domain/saga-state.js';
import { approvalStanding, handleMessage, type Handled, type Message } from './approval-standing.js';
import { refundOf, transition, type Books, type RefundRow } from './books.js';
import { endUnsent } from './settlement.js';

/** Moves the end of the wait, within the window. */
export function extendApproval(books: Books, message: Message, expiresAtMs: number, nowMs: number): Handled {
  return handleMessage(books, message, (refund) => {
    const verdict = judgeExtension(refund, message, expiresAtMs, nowMs);
    if (verdict === 'extends' && refund.approval) {
      refund.approval.expiresAtMs = expiresAtMs;
      transition(refund, 'requires_approval');
    }
    return { verdict, wakeRefundId: null };
  });
}

export interface Expiry {
  readonly standing: ApprovalStanding;
  readonly wakeRefundId: string | null;
}

/** Ends the wait where its time is over, and gives the reservation back. Safe to repeat. */
export function expireApproval(books: Books, refundId: string, nowMs: number): Expiry {
  const refund = refundOf(books, refundId);
  const isOver = refund.status === 'requires_approval' && books.rules.isApprovalOver(books, refund, nowMs);
  const wakeRefundId = isOver ? endUnsent(books, refund, 'expired', nowMs) : null;
  return { standing: approvalStanding(books, refund), wakeRefundId };
}

export function isApprovalOver(_: Books, { approval }: RefundRow, nowMs: number): boolean {
  return nowMs >= (approval?.expiresAtMs ?? Infinity);
}

/** Tells people once what time it is, and the process how the approval stands. Safe to repeat. */
export function noteReminder(books: Books, refundId: string, of: Reminder): ApprovalStanding {
  const refund = refundOf(books, refundId);
  if (isAwaited(refund, of) && !refund.told.some((told) => says(told, of))) refund.told.push(of);
  return approvalStanding(books, refund);
}

function isAwaited({ status, approval }: RefundRow, of: Reminder): boolean {
  if (of.kind === 'windowClosing') return isOpen(status);
  return status === 'requires_approval' && approval?.round === of.round;
}

/** Whether what was told makes `of` no news. */
function says(told: Reminder, of: Reminder): boolean {
  switch (of.kind) {
    case 'reminder':
      return told.kind === 'reminder' && told.round === of.round && told.number >= of.number;
    case 'escalation':
      return told.kind === 'escalation' && told.round === of.round;
    case 'windowClosing':
      return told.kind === 'windowClosing' && told.daysLeft <= of.daysLeft;
  }
}

function judgeExtension(
  { status, approval, submitBeforeMs }: RefundRow,
  { contentHash }: Message,
  expiresAtMs: number,
  nowMs: number,
): string {
  const endsAtMs = approval?.expiresAtMs ?? 0;
  if (status !== 'requires_approval' || nowMs >= endsAtMs) return 'already_final';
  if (contentHash !== approval?.contentHash) return 'approval_conflict';
  if (expiresAtMs === endsAtMs) return 'repeated';
  if (expiresAtMs > (submitBeforeMs ?? Infinity)) return 'extension_beyond_window';
  return expiresAtMs < endsAtMs ? 'not_later' : 'extends';
}
