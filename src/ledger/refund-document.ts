import { REFUND_WORKFLOW_ID_PREFIX, type EvidenceSource } from '../domain/refund.js';
import type { ApprovalState, VoteDecision } from '../domain/vote.js';
import type { RefundRow } from './refund-reads.js';

export interface RefundDocument extends Pick<
  RefundRow,
  | 'id'
  | 'payment_id'
  | 'provider'
  | 'provider_payment_id'
  | 'provider_refund_id'
  | 'currency'
  | 'reason'
  | 'description'
  | 'reference'
  | 'metadata'
  | 'status'
  | 'pending_reason'
  | 'failure_reason'
  | 'provider_error'
  | 'version'
> {
  readonly object: 'refund';
  readonly amount: number;
  readonly approval: {
    state: ApprovalState;
    required: number;
    missing: number;
    votes: { actor: string; decision: VoteDecision; comment: string | null; created_at: string }[];
    content_hash: string;
    requested_at: string;
    expires_at: string;
  } | null;
  readonly refund_deadline: string | null;
  readonly evidence: { source: EvidenceSource; observed_at: string; provider_status: string } | null;
  readonly workflow_id: string;
  readonly created_at: string;
  readonly updated_at: string;
}

/** A refund as others see it: what the API answers, and what webhooks carry. */
export function refundDocument(row: RefundRow): RefundDocument {
  return {
    id: row.id,
    object: 'refund',
    payment_id: row.payment_id,
    provider: row.provider,
    provider_payment_id: row.provider_payment_id,
    provider_refund_id: row.provider_refund_id,
    amount: row.amount_minor,
    currency: row.currency,
    reason: row.reason,
    description: row.description,
    reference: row.reference,
    metadata: row.metadata,
    status: row.status,
    pending_reason: row.pending_reason,
    failure_reason: row.failure_reason,
    provider_error: row.provider_error,
    approval: approvalOf(row),
    refund_deadline: row.refund_deadline?.toISOString() ?? null,
    evidence: row.evidence && {
      source: row.evidence.source,
      observed_at: row.evidence.observedAt,
      provider_status: row.evidence.providerStatus,
    },
    workflow_id: REFUND_WORKFLOW_ID_PREFIX + row.id,
    version: row.version,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

function approvalOf(row: RefundRow): RefundDocument['approval'] {
  const { approval_state: state, approval_requested_at: requestedAt, approval_expires_at: expiresAt } = row;
  if (!state || !requestedAt || !expiresAt) return null;
  const approvals = row.votes.filter(({ decision }) => decision === 'approve');
  return {
    state,
    required: row.approvals_required,
    missing: Math.max(0, row.approvals_required - approvals.length),
    votes: row.votes.map(({ actor, decision, comment, voted_at: votedAt }) => ({
      actor,
      decision,
      comment,
      created_at: new Date(votedAt).toISOString(),
    })),
    content_hash: row.content_hash,
    requested_at: requestedAt.toISOString(),
    expires_at: expiresAt.toISOString(),
  };
}
