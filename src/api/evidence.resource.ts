import type { ProviderRefund } from '../domain/provider.js';
import type { AttemptRow } from '../ledger/attempts.js';
import { inSnakeCase } from '../ledger/event-chain.js';
import type { RefundEvidence } from '../ledger/evidence.js';
import { paymentFromRow } from '../ledger/payment-row.js';
import type { EventRow } from '../ledger/refund-reads.js';
import type { ApiDeps } from './deps.js';
import { toEventResource } from './event.resource.js';
import type { Evidence } from './evidence.schema.js';
import { toPaymentResource } from './payment.resource.js';
import { toRefundResource } from './refund.resource.js';

export function toEvidenceResource(
  known: RefundEvidence,
  deps: Pick<ApiDeps, 'providers' | 'policy' | 'nowMs'>,
): Evidence {
  const { refund, policy } = known;
  return {
    object: 'refund_evidence',
    generated_at: new Date(deps.nowMs()).toISOString(),
    refund: toRefundResource(refund),
    requested_by: refund.requested_by,
    request_id: refund.request_id,
    payment: toPaymentResource(paymentFromRow(known.payment), known.liveRefunds, deps),
    policy: { version: refund.policy_version, content: policy && members(policy) },
    votes: known.votes.map((vote) => ({
      round: vote.round,
      actor: vote.actor,
      decision: vote.decision,
      comment: vote.comment,
      content_hash: vote.content_hash,
      proof: vote.proof,
      request_id: vote.request_id,
      created_at: vote.voted_at.toISOString(),
    })),
    messages: known.messages.map(({ action, actor, proof, outcome, received_at: receivedAt }) => ({
      action,
      actor,
      proof,
      outcome: inSnakeCase(outcome),
      received_at: receivedAt.toISOString(),
    })),
    attempts: known.attempts.map(toAttempt),
    events: known.events.map(toSealedEvent),
    payment_events: known.paymentEvents.map(toSealedEvent),
    verification: toVerification(known.verification),
  };
}

function toSealedEvent(row: EventRow): Evidence['events'][number] {
  return { ...toEventResource(row), mac: row.mac };
}

function toAttempt(attempt: AttemptRow): Evidence['attempts'][number] {
  const { snapshot, answer, evidence } = attempt;
  return {
    number: attempt.number,
    amount: attempt.amount_minor,
    idempotency_key: attempt.idempotency_key,
    claimed_at: attempt.claimed_at.toISOString(),
    send_by: attempt.send_by.toISOString(),
    sends: attempt.sends,
    last_sent_at: attempt.last_sent_at?.toISOString() ?? null,
    shown_before: {
      read_at: instant(snapshot.readAtMs),
      payment_status: snapshot.providerStatus,
      amount: snapshot.amountMinor,
      currency: snapshot.currency,
      method: snapshot.method,
      paid_at: snapshot.paidAtMs === null ? null : instant(snapshot.paidAtMs),
      refunds: snapshot.refunds.map(toShownRefund),
      refunded_in_all: snapshot.totalOnlyMinor ?? null,
      complete: snapshot.complete,
    },
    answer: answer && members(answer),
    provider_refund_id: attempt.provider_refund_id,
    matched_by: attempt.matched_by,
    evidence: evidence && members(evidence),
    absent_reads: attempt.absent_reads.map(({ readAtMs }) => instant(readAtMs)),
    doubts: attempt.doubts.map(members),
    conclusion: attempt.conclusion,
    concluded_at: attempt.concluded_at?.toISOString() ?? null,
  };
}

function toShownRefund(
  entry: ProviderRefund,
): Evidence['attempts'][number]['shown_before']['refunds'][number] {
  return {
    provider_refund_id: entry.providerRefundId,
    amount: entry.amountMinor,
    status: entry.status,
    provider_status: entry.providerStatus,
  };
}

function toVerification({ coverage, breaks }: RefundEvidence['verification']): Evidence['verification'] {
  return {
    result: resultOf({ coverage, breaks }),
    events: coverage.events,
    covered: coverage.covered,
    without_mac: coverage.withoutMac,
    unchecked: coverage.unchecked,
    unknown_keys: Object.fromEntries(coverage.unknownKeys),
    breaks: breaks.map(({ trail, sequence, what }) => ({ trail: trail.kind, id: trail.id, sequence, what })),
  };
}

function resultOf({
  coverage: { events, covered },
  breaks,
}: RefundEvidence['verification']): Evidence['verification']['result'] {
  if (breaks.length > 0) return 'broken';
  if (covered === events) return 'whole';
  return covered > 0 ? 'partly_covered' : 'not_covered';
}

function members(value: object): Record<string, unknown> {
  return inSnakeCase(value) as Record<string, unknown>;
}

function instant(ms: number): string {
  return new Date(ms).toISOString();
}
