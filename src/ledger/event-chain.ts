import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import type { LedgerTransaction } from './database.js';

export interface TrailEvent {
  readonly type: string;
  /** `provider`: money moved there without us. */
  readonly origin: 'service' | 'provider';
  readonly actor: string;
  readonly reason: string | null;
  readonly requestId: string | null;
  readonly occurredAtMs: number;
  /** What the event rests on: numbers, statuses, the provider's words. Never a secret. */
  readonly data: Readonly<Record<string, unknown>>;
}

interface ChainEnd {
  readonly sequence: number;
  readonly hash: string;
}

/** Appends to a refund's trail; the caller holds the refund's row and stores the new end on it. */
export async function appendRefundEvent(
  trx: LedgerTransaction,
  refund: { id: string; paymentId: string; end: ChainEnd },
  event: TrailEvent,
): Promise<ChainEnd> {
  return append(trx, { paymentId: refund.paymentId, refundId: refund.id }, refund.end, event);
}

/** Appends what concerns the payment alone; the caller holds the payment's row, or has just inserted it. */
export async function appendPaymentEvent(
  trx: LedgerTransaction,
  event: TrailEvent & { readonly paymentId: string },
): Promise<void> {
  const last = await trx
    .selectFrom('refund_events')
    .select(['sequence', 'hash'])
    .where('payment_id', '=', event.paymentId)
    .where('refund_id', 'is', null)
    .orderBy('sequence', 'desc')
    .limit(1)
    .executeTakeFirst();
  await append(trx, { paymentId: event.paymentId, refundId: null }, last ?? { sequence: 0, hash: '' }, event);
}

async function append(
  trx: LedgerTransaction,
  subject: { paymentId: string; refundId: string | null },
  end: ChainEnd,
  event: TrailEvent,
): Promise<ChainEnd> {
  const sequence = end.sequence + 1;
  // Through JSON once, so that what is hashed is what PostgreSQL gives back.
  const data = inSnakeCase(JSON.parse(JSON.stringify(event.data))) as Record<string, unknown>;
  const row = {
    payment_id: subject.paymentId,
    refund_id: subject.refundId,
    sequence,
    type: event.type,
    origin: event.origin,
    actor: event.actor,
    reason: event.reason,
    request_id: event.requestId,
  };
  const hash = eventHash({ ...row, occurred_at: new Date(event.occurredAtMs).toISOString(), data }, end.hash);
  await trx
    .insertInto('refund_events')
    .values({
      ...row,
      occurred_at: new Date(event.occurredAtMs),
      data: JSON.stringify(data),
      previous_hash: end.hash,
      hash,
    })
    .execute();
  return { sequence, hash };
}

/** The trail speaks as the API does, whatever our own values are called. */
function inSnakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inSnakeCase);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      inSnakeCase(member),
    ]),
  );
}

/** sha-256 over the RFC 8785 form of the event and the hash before it: any change, removal or reordering shows. */
export function eventHash(event: Readonly<Record<string, unknown>>, previousHash: string): string {
  const text = canonicalize({ ...event, previous_hash: previousHash });
  if (text === undefined) throw new TypeError('an event has no canonical form');
  return createHash('sha256').update(text).digest('hex');
}
