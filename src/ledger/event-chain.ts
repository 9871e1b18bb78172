import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { sql, type Insertable, type Kysely, type QueryCreator, type Updateable } from 'kysely';
import { auditMacsOf, keyIdOfColumn, type AuditMacs } from './audit-macs.js';
import type { LedgerTransaction, Schema } from './database.js';
import type { RefundRow } from './refunds.js';

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

/** How far a trail goes, as the row that it belongs to holds it. */
export interface TrailEnd {
  readonly event_sequence: number;
  readonly event_hash: string;
  /** Of the last event; null: it was written without AUDIT_KEYS. */
  readonly event_mac: string | null;
}

/** With the MAC over the end itself. */
export interface SealedEnd extends TrailEnd {
  readonly event_seal: string | null;
}

/** An event as it is hashed: all of its columns but for id, hashes and MAC. */
export interface EventContent {
  readonly payment_id: string;
  readonly refund_id: string | null;
  readonly sequence: number;
  readonly type: string;
  readonly origin: TrailEvent['origin'];
  readonly actor: string;
  readonly reason: string | null;
  readonly request_id: string | null;
  readonly occurred_at: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface LinkedEvent {
  readonly row: Insertable<Schema['refund_events']>;
  readonly end: SealedEnd;
}

export interface TrailName {
  readonly kind: 'refund' | 'payment';
  readonly id: string;
}

export const EMPTY_TRAIL: TrailEnd = { event_sequence: 0, event_hash: '', event_mac: null };

/** What is written in another table, by the same statement as a refund's event. */
export type WriteBeside = Parameters<QueryCreator<Schema>['with']>[1];

/**
 * Appends to a refund's trail, and writes what else changes of its row and beside it, in one statement. The caller
 * holds the row. @returns the row, and whether anybody may want news of it.
 * @throws when `refund` is not the row as it is now: a bug.
 */
export async function changeRefund(
  trx: LedgerTransaction,
  refund: RefundRow,
  event: TrailEvent,
  columns: Updateable<Schema['refunds']> = {},
  beside: readonly WriteBeside[] = [],
): Promise<{ readonly refund: RefundRow; readonly isHeard: boolean }> {
  const { row, end } = linkRefundEvent(trx, refund, event);
  const changed = await withBeside(trx, [(query) => query.insertInto('refund_events').values(row), ...beside])
    .updateTable('refunds')
    .set({ ...columns, ...end })
    .where('id', '=', refund.id)
    .where('version', '=', refund.version)
    .returningAll()
    .returning(isHeard)
    .executeTakeFirst();
  if (!changed) throw new Error(`refund ${refund.id} is not what it was taken for`);
  const { is_heard, ...written } = changed;
  return { refund: written, isHeard: is_heard };
}

/** Whether there is an endpoint at all that news could go to. */
export const isHeard = sql<boolean>`EXISTS (SELECT FROM webhook_endpoints WHERE status = 'active')`.as(
  'is_heard',
);

/** Each of them sees the rows as they were before all of it. */
export function withBeside(trx: LedgerTransaction, writes: readonly WriteBeside[]): QueryCreator<Schema> {
  return writes.reduce<QueryCreator<Schema>>(
    // Nothing of what they return is read.
    (query, write, at) => query.with(`beside_${at}`, write) as unknown as QueryCreator<Schema>,
    trx,
  );
}

/** The next event of a refund's trail, and the end that goes onto the refund's row in the same statement. */
export function linkRefundEvent(
  trx: LedgerTransaction,
  refund: Pick<RefundRow, 'id' | 'payment_id' | keyof TrailEnd>,
  event: TrailEvent,
): LinkedEvent {
  const trail = { kind: 'refund' as const, id: refund.id };
  return linkTo(refund, event, { trail, paymentId: refund.payment_id, macs: auditMacsOf(trx) });
}

/** Appends what concerns the payment alone; the caller holds the payment's row, or has just inserted it. */
export async function appendPaymentEvent(
  trx: LedgerTransaction,
  event: TrailEvent & { readonly paymentId: string },
): Promise<void> {
  const { paymentId } = event;
  // As the row has it: what comes after a cut tail must not heal the cut.
  const before = await trx
    .selectFrom('payments')
    .select(['event_sequence', 'event_hash', 'event_mac'])
    .where('id', '=', paymentId)
    .executeTakeFirstOrThrow();
  const trail = { kind: 'payment' as const, id: paymentId };
  const { row, end } = linkTo(before, event, { trail, paymentId, macs: auditMacsOf(trx) });
  // One statement, so that the end costs no round trip of its own.
  await trx
    .with('written', (query) => query.insertInto('refund_events').values(row).returning('id'))
    .updateTable('payments')
    .set(end)
    .where('id', '=', paymentId)
    .execute();
}

/** Whether any event was written with AUDIT_KEYS. */
export async function hasMacs(db: Kysely<Schema>): Promise<boolean> {
  const [keyed] = await db
    .selectFrom('refund_events')
    .select('id')
    .where('mac', 'is not', null)
    // Ordered as the index of migration 0005 is: what stands before the first MAC is not read.
    .orderBy(keyIdOfColumn)
    .orderBy('id')
    .limit(1)
    .execute();
  return keyed !== undefined;
}

function linkTo(
  before: TrailEnd,
  event: TrailEvent,
  { trail, paymentId, macs }: { trail: TrailName; paymentId: string; macs: AuditMacs | null },
): LinkedEvent {
  const content: EventContent = {
    payment_id: paymentId,
    refund_id: trail.kind === 'refund' ? trail.id : null,
    sequence: before.event_sequence + 1,
    type: event.type,
    origin: event.origin,
    actor: event.actor,
    reason: event.reason,
    request_id: event.requestId,
    occurred_at: new Date(event.occurredAtMs).toISOString(),
    // Through JSON once, so that what is hashed is what PostgreSQL gives back.
    data: inSnakeCase(JSON.parse(JSON.stringify(event.data))) as Record<string, unknown>,
  };
  const hash = eventHash(content, before.event_hash);
  const mac = macs?.make(macContentOf(content, before)) ?? null;
  const end = { event_sequence: content.sequence, event_hash: hash, event_mac: mac };
  return {
    row: {
      ...content,
      occurred_at: new Date(event.occurredAtMs),
      data: JSON.stringify(content.data),
      previous_hash: before.event_hash,
      hash,
      mac,
    },
    end: { ...end, event_seal: macs?.make(sealContentOf(trail, end)) ?? null },
  };
}

/** What an event's MAC is over. */
export function macContentOf(event: EventContent, before: TrailEnd): object {
  const { event_hash: previousHash, event_mac: previousMac } = before;
  return { trail_event: { ...event, previous_hash: previousHash, previous_mac: previousMac } };
}

/** What the MAC over a trail's end is over. */
export function sealContentOf(
  trail: TrailName,
  { event_sequence: sequence, event_mac: mac }: TrailEnd,
): object {
  return { trail_end: { kind: trail.kind, id: trail.id, sequence, mac } };
}

/** Over what the trail doesn't repeat of a request, so that a change of it shows all the same. */
export function requestHash({
  provider,
  reason,
  description,
  reference,
  metadata,
}: Pick<RefundRow, 'provider' | 'reason' | 'description' | 'reference' | 'metadata'>): string {
  return hashOf({ provider, reason, description, reference, metadata });
}

/** The trail speaks as the API does, whatever our own values are called. */
export function inSnakeCase(value: unknown): unknown {
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
export function eventHash(event: EventContent, previousHash: string): string {
  return hashOf({ ...event, previous_hash: previousHash });
}

function hashOf(content: object): string {
  const text = canonicalize(content);
  if (text === undefined) throw new TypeError('only JSON has a canonical form');
  return createHash('sha256').update(text).digest('hex');
}
