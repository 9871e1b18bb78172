import { isOpen } from '../domain/refund.js';
import { handleMessage, type Handled } from './approval-standing.js';
import { attemptsOf, mayHaveMovedMoney } from './attempts.js';
import type { Database } from './database.js';
import type { ProvenMessage } from './front-door-messages.js';
import { releaseWithin } from './settlement.js';

export interface CancelMessage extends ProvenMessage {
  readonly action: 'cancel';
  readonly reason: string | null;
  readonly requestId: string;
}

export type CancelVerdict =
  | { readonly kind: 'done' | 'repeated' }
  | { readonly kind: 'refused'; readonly code: 'not_cancelable'; readonly detail: string };

/**
 * Ends a refund of which nothing is on its way, whatever its process is doing just now: a claim is made under the same
 * lock, and finds the refund closed, or was first, and then there is an open attempt.
 */
export function cancelRefund(
  db: Database,
  message: CancelMessage,
  nowMs: number,
): Promise<Handled<CancelVerdict>> {
  return handleMessage<CancelVerdict>(db, message, nowMs, async (trx, refund) => {
    if (refund.status === 'canceled') return { verdict: { kind: 'repeated' }, wakeRefundId: null };
    const isUnsent = isOpen(refund.status) && refund.status !== 'review';
    if (!isUnsent || (await attemptsOf(trx, refund.id)).some(mayHaveMovedMoney)) {
      const detail = isUnsent
        ? 'It is on its way at the provider.'
        : `The refund is ${refund.status}: it can not be canceled.`;
      return { verdict: { kind: 'refused', code: 'not_cancelable', detail }, wakeRefundId: null };
    }
    const { actor, requestId, reason } = message;
    const event = { type: 'refund_canceled', actor, requestId, reason, data: {} };
    const { wakeRefundId } = await releaseWithin(trx, refund, 'canceled', event, nowMs);
    return { verdict: { kind: 'done' }, wakeRefundId };
  });
}
