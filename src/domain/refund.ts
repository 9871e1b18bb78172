export const REFUND_REASONS = [
  'requested_by_customer',
  'duplicate',
  'fraudulent',
  'bank_error',
  'pix_withdrawal',
] as const;
export type RefundReason = (typeof REFUND_REASONS)[number];

export const REFUND_STATUSES = [
  'requires_approval',
  'pending',
  'review',
  'succeeded',
  'failed',
  'rejected',
  'expired',
  'canceled',
  'reversed',
] as const;
export type RefundStatus = (typeof REFUND_STATUSES)[number];

export const PENDING_REASONS = [
  'validating',
  'queued',
  'insufficient_balance',
  'provider_unavailable',
  'authorization_required',
  'provider_processing',
  'outcome_unknown',
] as const;
export type PendingReason = (typeof PENDING_REASONS)[number];

/** The order is the contract: the first broken rule in it is the top-level code of a refusal. */
export const ELIGIBILITY_CODES = [
  'provider_not_enabled',
  'payment_facts_mismatch',
  'payment_not_refundable',
  'refund_window_expired',
  'partial_not_supported',
  'currency_mismatch',
  'amount_exceeds_available',
  'limit_exceeded',
] as const;
export type EligibilityCode = (typeof ELIGIBILITY_CODES)[number];

export const FAILURE_REASONS = [
  ...ELIGIBILITY_CODES,
  'insufficient_balance',
  'provider_unavailable',
  'provider_declined',
] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

export const EVIDENCE_SOURCES = ['response', 'webhook', 'poll', 'operator', 'reconciliation'] as const;
export type EvidenceSource = (typeof EVIDENCE_SOURCES)[number];

/** Where a final word comes from: which observation, when, and the provider's own status in it. */
export interface Evidence {
  readonly source: EvidenceSource;
  readonly observedAt: string;
  readonly providerStatus: string;
}

/** From which status which may follow; anything else is a bug and is refused by the ledger. */
const NEXT: Readonly<Record<RefundStatus, readonly RefundStatus[]>> = {
  // Where an approval was asked for again, an earlier sending may land while people think: then that decides.
  requires_approval: [
    'requires_approval',
    'pending',
    'rejected',
    'expired',
    'canceled',
    'failed',
    'succeeded',
    'review',
  ],
  pending: ['pending', 'review', 'succeeded', 'failed', 'canceled'],
  review: ['review', 'pending', 'requires_approval', 'succeeded', 'failed'],
  succeeded: ['reversed', 'review'],
  failed: ['review'],
  rejected: ['review'],
  expired: ['review'],
  canceled: ['review'],
  reversed: ['review'],
};

export function mayFollow(from: RefundStatus, to: RefundStatus): boolean {
  return NEXT[from].includes(to);
}

const OPEN: ReadonlySet<RefundStatus> = new Set(['requires_approval', 'pending', 'review']);

/** Open refunds hold their reservation and, but for orphans, have a running workflow. */
export function isOpen(status: RefundStatus): boolean {
  return OPEN.has(status);
}

/** Its process in Temporal is this and the refund's id. */
export const REFUND_WORKFLOW_ID_PREFIX = 'refund/';
