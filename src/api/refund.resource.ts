import type { z } from 'zod';
import type { RefundRow } from '../ledger/refund-reads.js';
import { refundWorkflowId } from '../../workflows/messages.js';
import type { approvalResource } from './approval.schema.js';
import type { refundResource } from './refund.schema.js';

export function toRefundResource(row: RefundRow): z.output<typeof refundResource> {
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
    approval: toApproval(row),
    refund_deadline: row.refund_deadline?.toISOString() ?? null,
    evidence: row.evidence && {
      source: row.evidence.source,
      observed_at: row.evidence.observedAt,
      provider_status: row.evidence.providerStatus,
    },
    workflow_id: refundWorkflowId(row.id),
    version: row.version,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

function toApproval(row: RefundRow): z.output<typeof approvalResource> | null {
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
