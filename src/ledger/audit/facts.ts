/** What a row says and its trail says otherwise. */
import canonicalize from 'canonicalize';
import type { RefundStatus } from '../../domain/refund.js';
import { inSnakeCase, requestHash } from '../event-chain.js';
import { approvalAfter, type PaymentRow, type RefundRow } from '../refunds.js';
import type { StoredEvent } from './trail.js';

/** A row as its trail tells it; what the trail does not tell, or did not yet when it was written, is undefined. */
export type Told<Row> = { -readonly [column in keyof Row]?: unknown };

/** Called with each event of a refund, in order. */
export function tellRefund(told: Told<RefundRow> & { asked?: unknown }, event: StoredEvent): void {
  const { type, data } = event;
  if (type === 'refund_created') Object.assign(told, atCreation(event));
  if (typeof data['version'] === 'number') Object.assign(told, atVersion(told, event));
  if (type === 'attempt_claimed') told.attempt = data['attempt'];
  if (type === 'approval_extended') told.approval_expires_at = data['expires_at'];
  if (type === 'review_resolved' && data['approval']) Object.assign(told, atNextRound(event));
}

/** Called with each event of a payment, in order. */
export function tellPayment(told: Told<PaymentRow>, { type, actor, occurred_at, data }: StoredEvent): void {
  if (type === 'payment_registered') {
    const { provider, provider_payment_id, provider_payment_reference } = data;
    const { amount_minor, currency, method, paid_at } = data;
    Object.assign(told, { provider, provider_payment_id, provider_payment_reference });
    Object.assign(told, { amount_minor, currency, method, paid_at });
    Object.assign(told, { created_by: actor, created_at: occurred_at });
    // Older trails, which don't tell the reference, don't tell of all money that moved without us either.
    if (provider_payment_reference !== undefined) told.external_minor = 0;
  }
  if (type === 'external_refunds_seen' && told.external_minor !== undefined) {
    told.external_minor = data['external_minor'];
  }
}

/** Null: the row says what the trail says. Pure. */
export function refundContradiction(
  row: RefundRow,
  { asked, ...told }: Told<RefundRow> & { asked?: unknown },
): string | null {
  if (told.status === undefined) return 'the trail does not tell how the refund began';
  const what = contradiction('refund', row, told);
  if (what !== null || asked === undefined || asked === requestHash(row)) return what;
  return "the refund's provider, description, reference or metadata is not what was asked for";
}

/** Null: the row says what the trail says, and the books are the sums of the refunds. Pure. */
export function paymentContradiction(
  row: PaymentRow,
  told: Told<PaymentRow>,
  held: { readonly refundedMinor: number; readonly reservedMinor: number },
): string | null {
  const { refunded_minor: refundedMinor, reserved_minor: reservedMinor } = row;
  if (refundedMinor !== held.refundedMinor) {
    return `the payment has ${refundedMinor} refunded, its refunds make ${held.refundedMinor}`;
  }
  if (reservedMinor !== held.reservedMinor) {
    return `the payment has ${reservedMinor} reserved, its refunds make ${held.reservedMinor}`;
  }
  return contradiction('payment', row, told);
}

function atCreation({ payment_id, actor, reason, request_id, occurred_at, data }: StoredEvent) {
  const { amount_minor, currency, policy_version, content_hash, refund_deadline, submit_before } = data;
  const approval = data['approval'] as { readonly required: number; readonly expires_at: string } | null;
  return {
    asked: data['request_hash'],
    payment_id,
    amount_minor,
    currency,
    reason,
    requested_by: actor,
    request_id,
    created_at: occurred_at,
    policy_version,
    content_hash,
    refund_deadline,
    submit_before,
    attempt: 0,
    provider_refund_id: null,
    provider_error: null,
    evidence: null,
    approvals_required: approval?.required ?? 0,
    approval_round: approval ? 1 : 0,
    approval_state: null,
    approval_opened_by: approval ? actor : null,
    approval_requested_at: approval ? occurred_at : null,
    approval_expires_at: approval?.expires_at ?? null,
  } satisfies Told<RefundRow> & { asked: unknown };
}

function atVersion(told: Told<RefundRow>, { type, occurred_at, data }: StoredEvent): Told<RefundRow> {
  const status = data['status'] as RefundStatus;
  const before = told.status as RefundStatus | undefined;
  return {
    status,
    version: data['version'],
    updated_at: occurred_at,
    money: moneyAfter(told.money, status, type, data),
    pending_reason: status === 'pending' ? data['pending_reason'] : null,
    review_reason: status === 'review' ? data['review_reason'] : null,
    review_ends_by: status === 'review' ? data['review_ends_by'] : null,
    failure_reason: status === 'failed' ? data['failure_reason'] : null,
    ...approvalAfter({ status: before ?? status }, status),
    ...(status === 'succeeded'
      ? { evidence: data['evidence'], provider_refund_id: data['provider_refund_id'], provider_error: null }
      : {}),
    // What a provider said meanwhile is told by other events.
    ...(status === 'pending' ? { provider_error: undefined } : {}),
    ...(status === 'failed' && data['provider_error'] ? { provider_error: data['provider_error'] } : {}),
  };
}

function moneyAfter(before: unknown, status: RefundStatus, type: string, data: StoredEvent['data']): unknown {
  switch (status) {
    case 'requires_approval':
    case 'pending':
      return 'reserved';
    case 'succeeded':
      return 'refunded';
    case 'failed':
    case 'rejected':
    case 'expired':
    case 'canceled':
    case 'reversed':
      return 'released';
    case 'review':
      if (type === 'other_amount_seen') return 'released';
      return type === 'late_money_seen' && data['counted'] === 'reserved' ? 'reserved' : before;
  }
}

/** A person's resend asks everybody anew. */
function atNextRound({ actor, occurred_at, data }: StoredEvent): Told<RefundRow> {
  const approval = data['approval'] as { readonly round: number; readonly expires_at: string };
  return {
    content_hash: data['content_hash'],
    approval_round: approval.round,
    approval_opened_by: actor,
    approval_requested_at: occurred_at,
    approval_expires_at: approval.expires_at,
  };
}

function contradiction(kind: 'refund' | 'payment', row: object, told: object): string | null {
  const known = row as Readonly<Record<string, unknown>>;
  for (const [column, inTrail] of Object.entries(told)) {
    if (inTrail === undefined) continue;
    const [inRow, expected] = [inJson(known[column]), inJson(inTrail)];
    if (inRow === expected) continue;
    const name = column.replace('_minor', '').replaceAll('_', ' ');
    return `the ${kind}'s ${name} is ${inRow}, its trail says ${expected}`;
  }
  return null;
}

/** The same text for the same value, from a column or from JSON. */
function inJson(value: unknown): string {
  return String(canonicalize(value instanceof Date ? value : inSnakeCase(value)));
}
