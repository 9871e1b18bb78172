/** What a row says and its trail says otherwise. */
import type { Payment } from '../../domain/payment.js';
import { inSnakeCase, requestHash } from '../event-chain.js';
import type { RefundRow } from '../refunds.js';
import type { StoredEvent } from './trail.js';

/** The two events that say the most of a refund: what was asked, and how it stands. */
export interface TellingEvents {
  created: StoredEvent | null;
  /** The last one that made a version. */
  standing: StoredEvent | null;
}

export function noteTelling(telling: TellingEvents, event: StoredEvent): void {
  if (event.type === 'refund_created') telling.created = event;
  if (typeof event.data['version'] === 'number') telling.standing = event;
}

/** Null: the row says what the trail says. Pure. */
export function contradiction(row: RefundRow, { created, standing }: TellingEvents): string | null {
  if (!created || !standing) return 'the trail does not tell how the refund began';
  const facts: readonly (readonly [name: string, inRow: unknown, inTrail: unknown])[] = [
    ['payment', row.payment_id, created.payment_id],
    ['amount', row.amount_minor, created.data['amount_minor']],
    ['currency', row.currency, created.data['currency']],
    ['policy version', row.policy_version, created.data['policy_version']],
    ['requester', row.requested_by, created.actor],
    ['reason', row.reason, created.reason],
    ['request id', row.request_id, created.request_id],
    ['version', row.version, standing.data['version']],
    ['status', row.status, standing.data['status']],
    ['pending reason', row.pending_reason, ofStatus(standing, 'pending', 'pending_reason')],
    ['review reason', row.review_reason, ofStatus(standing, 'review', 'review_reason')],
    ['failure reason', row.failure_reason, ofStatus(standing, 'failed', 'failure_reason')],
  ];
  for (const [name, inRow, inTrail] of facts) {
    if (inRow !== inTrail) {
      return `the refund's ${name} is ${String(inRow)}, its trail says ${String(inTrail)}`;
    }
  }
  if (standing.data['status'] === 'succeeded' && !isSameEvidence(row, standing)) {
    return "the refund's evidence is not what its trail says";
  }
  // Trails from before the request was hashed say nothing of it.
  const asked = created.data['request_hash'];
  if (asked !== undefined && asked !== requestHash(row)) {
    return "the refund's provider, description, reference or metadata is not what was asked for";
  }
  return null;
}

/** Null: the payment's books are the sums of its refunds. Pure. */
export function bookContradiction(
  payment: Pick<Payment, 'refundedMinor' | 'reservedMinor'>,
  held: { readonly refundedMinor: number; readonly reservedMinor: number },
): string | null {
  if (payment.refundedMinor !== held.refundedMinor) {
    return `the payment has ${payment.refundedMinor} refunded, its refunds make ${held.refundedMinor}`;
  }
  if (payment.reservedMinor !== held.reservedMinor) {
    return `the payment has ${payment.reservedMinor} reserved, its refunds make ${held.reservedMinor}`;
  }
  return null;
}

function ofStatus({ data }: StoredEvent, status: string, name: string): unknown {
  return data['status'] === status ? data[name] : null;
}

function isSameEvidence({ evidence }: RefundRow, { data }: StoredEvent): boolean {
  const sorted = (value: unknown): string =>
    JSON.stringify(Object.entries(value ?? {}).sort(([one], [other]) => (one < other ? -1 : 1)));
  return sorted(inSnakeCase(evidence)) === sorted(data['evidence']);
}
