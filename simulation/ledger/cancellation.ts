import { isOpen } from '../../src/domain/refund.js';
import { handleMessage, type Handled, type Message } from './approval-standing.js';
import { attemptsOf, type Books } from './books.js';
import { releaseWithin } from './settlement.js';

/** Ends a refund of which nothing is on its way, whatever its process is doing just now. */
export function cancelRefund(books: Books, message: Message, nowMs: number): Handled {
  return handleMessage(books, message, (refund) => {
    if (refund.status === 'canceled') return { verdict: 'repeated', wakeRefundId: null };
    const isUnsent = isOpen(refund.status) && refund.status !== 'review';
    if (!isUnsent || !books.rules.mayCancel(attemptsOf(books, refund.id))) {
      return { verdict: isUnsent ? 'on its way' : 'not_cancelable', wakeRefundId: null };
    }
    return { verdict: 'cancels', wakeRefundId: releaseWithin(books, refund, 'canceled', nowMs) };
  });
}
