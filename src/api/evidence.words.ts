/** What the service's words mean, for readers who never met it. */
import type { RefundStatus } from '../domain/refund.js';
import type { Evidence } from './evidence.schema.js';

export const STATUS_WORDS: Readonly<Record<RefundStatus, string>> = {
  requires_approval: 'It waits for people to agree. Nothing was sent; the amount is held.',
  pending: 'It is under way: the amount is held, and the provider has not said how it ended.',
  review: 'A person must look: by reading alone it can not be told what became of it. The amount is held.',
  succeeded: 'The money went back, by the word of the provider or of the person who ended its review.',
  failed: 'It ended without money moving. The amount is free again.',
  rejected: 'Somebody who had to agree did not. Nothing was sent.',
  expired: 'The time for people to agree ran out. Nothing was sent.',
  canceled: 'It was withdrawn before anything was on its way.',
  reversed: 'The money had gone back, and came back to the merchant later.',
};

export const VERIFICATION_WORDS: Readonly<Record<Evidence['verification']['result'], string>> = {
  whole: 'Yes. Every event is there, in its order and unchanged: all hashes and all MACs fit.',
  partly_covered:
    'No break was found, but some of the events are not covered by a MAC: those could have been rewritten, hashes and all, by who owns the database.',
  not_covered:
    'No break was found, but no event is covered by a MAC that could be checked: the trail could have been rewritten, hashes and all, by who owns the database.',
  broken: 'No. The record is not as it was written.',
};

export const CONCLUSION_WORDS: Readonly<
  Record<NonNullable<Evidence['attempts'][number]['conclusion']> | 'open', string>
> = {
  landed: 'The provider carried it out.',
  declined: 'The provider declined it.',
  not_sent: 'It was never sent.',
  absent: 'The provider does not know it: proven by reading for long enough.',
  other_amount: 'It moved another amount than was asked for.',
  open: 'It is not known yet: the money may have moved, or may still.',
};

/** By type; one that is not here is shown as it is called. */
export const EVENT_WORDS: Readonly<Record<string, string>> = {
  approval_escalated: 'People were told that the approval takes long',
  approval_extended: 'The time to agree was extended',
  approval_reminder: 'People were reminded to agree or reject',
  attempt_absent: 'Proven: the provider does not know the attempt',
  attempt_answered: 'The provider answered',
  attempt_claimed: 'Decided to send it to the provider',
  attempt_found: 'Found at the provider',
  external_refunds_seen: 'The provider shows money that went back without this service',
  late_money_possible: 'Money may still move after the end',
  late_money_seen: 'Money was seen to have moved after the end',
  message_refused: 'A message that did not come through the API was refused',
  other_amount_seen: 'Another amount than was asked for was seen',
  payment_registered: 'The payment was registered',
  queued: 'It waits for another refund of the same payment',
  refund_approved: 'Approved',
  refund_canceled: 'Canceled',
  refund_created: 'Asked for; the amount is held',
  refund_disappeared: 'The provider no longer shows it',
  refund_expired: 'The time to agree ran out',
  refund_failed: 'Failed; the amount is free again',
  refund_rejected: 'Rejected',
  refund_reversed: 'The money came back',
  refund_succeeded: 'Succeeded',
  review_required: 'A person must look',
  review_resolved: 'A person ended the review',
  submit_postponed: 'Sending was put off',
  vote_cast: 'Voted',
  vote_refused: 'A vote was refused',
  window_closing: 'People were told that the time to refund runs out',
};
