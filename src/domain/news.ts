import type { RefundStatus } from './refund.js';
import { assertNever } from './errors.js';

/** What is told of a refund. */
export const NEWS_TYPES = [
  'refund.created',
  'refund.updated',
  'refund.approval_required',
  'refund.succeeded',
  'refund.failed',
  'refund.rejected',
  'refund.expired',
  'refund.canceled',
  'refund.review_required',
  'refund.reversed',
] as const;
export type NewsType = (typeof NEWS_TYPES)[number];

/** Sent by hand, to see whether an endpoint listens. */
export const PING_TYPE = 'webhook.ping';

/** What a transition is news of; `before` is null where the refund has just been made. */
export function newsOf(before: RefundStatus | null, now: RefundStatus): readonly NewsType[] {
  if (before === null) {
    return now === 'requires_approval' ? ['refund.created', 'refund.approval_required'] : ['refund.created'];
  }
  return before === now ? ['refund.updated'] : [arrivalAt(now)];
}

function arrivalAt(status: RefundStatus): NewsType {
  switch (status) {
    case 'requires_approval':
      return 'refund.approval_required';
    case 'pending':
      return 'refund.updated';
    case 'review':
      return 'refund.review_required';
    case 'succeeded':
    case 'failed':
    case 'rejected':
    case 'expired':
    case 'canceled':
    case 'reversed':
      return `refund.${status}`;
    default:
      return assertNever(status);
  }
}
