import { sql, type Selectable } from 'kysely';
import type { Database, LedgerTransaction, Schema } from './database.js';
import { notePing } from './outbox.js';
import { pageOf, type Page, type PageRequest } from './page.js';
import { cancelForDisabled, disableEndpoint, type SealedSecret } from './webhook-endpoints.js';

export type DeliveryStatus = 'pending' | 'delivered' | 'failed' | 'canceled';

export type DeliveryRow = Selectable<Schema['webhook_deliveries']> &
  Pick<Selectable<Schema['webhook_messages']>, 'type' | 'refund_id' | 'version'>;

/** What goes one after the other: the messages about one subject to one endpoint. */
export interface DeliveryLine {
  readonly endpointId: string;
  readonly subject: string;
}

/** Whoever took a line over has so long until it is offered again: its workflow may have been lost. */
const TAKEN_FOR_MS = 60_000;

/** So long a message is tried, from its first attempt on. */
const TRIED_FOR_MS = 3 * 86_400_000;

export interface DueLine extends DeliveryLine {
  /** Somebody asked for it by hand: a pause before the next attempt is over. */
  readonly endsPause: boolean;
}

/**
 * Lines that lack a workflow, longest waiting first; each is taken, and offered again only when that was in vain. What
 * has come behind a message that pauses before its next attempt waits as long as that one does.
 */
export async function takeDueLines(db: Database, nowMs: number, atMost: number): Promise<readonly DueLine[]> {
  const { rows } = await sql<DueLine>`
    WITH due AS (
      SELECT id, endpoint_id, subject, sequence, start_after = next_attempt_at AS by_hand FROM webhook_deliveries
      WHERE status = 'pending' AND start_after <= ${new Date(nowMs)}
      ORDER BY start_after LIMIT ${atMost} FOR UPDATE SKIP LOCKED
    ), judged AS (
      SELECT due.*, (
        SELECT max(older.start_after) FROM webhook_deliveries AS older
        WHERE older.endpoint_id = due.endpoint_id AND older.subject = due.subject
          AND older.status = 'pending' AND older.sequence < due.sequence
          AND older.start_after > ${new Date(nowMs)}
      ) AS behind_until FROM due
    ), taken AS (
      UPDATE webhook_deliveries
      SET start_after = greatest(${new Date(nowMs + TAKEN_FOR_MS)}::timestamptz, behind_until)
      FROM judged WHERE webhook_deliveries.id = judged.id
    )
    SELECT endpoint_id AS "endpointId", subject, coalesce(bool_or(by_hand), false) AS "endsPause" FROM judged
    WHERE behind_until IS NULL GROUP BY endpoint_id, subject`.execute(db);
  return rows;
}

/** The oldest that is still to be delivered. Null: none is left. */
export async function nextDelivery(
  db: Database,
  line: DeliveryLine,
): Promise<{ readonly deliveryId: string } | null> {
  const next = await db
    .selectFrom('webhook_deliveries as delivery')
    .innerJoin('webhook_endpoints as endpoint', 'endpoint.id', 'delivery.endpoint_id')
    .select('delivery.id as deliveryId')
    .where('delivery.endpoint_id', '=', line.endpointId)
    .where('delivery.subject', '=', line.subject)
    .where('delivery.status', '=', 'pending')
    .where('endpoint.status', '=', 'active')
    .orderBy('delivery.sequence')
    .limit(1)
    .executeTakeFirst();
  return next ?? null;
}

export interface Outgoing {
  readonly url: string;
  readonly secrets: readonly SealedSecret[];
  readonly messageId: string;
  readonly body: string;
  readonly createdAt: Date;
}

/** What is to be sent now. Null: it is not waiting any more. */
export async function findOutgoing(db: Database, deliveryId: string): Promise<Outgoing | null> {
  const found = await db
    .selectFrom('webhook_deliveries as delivery')
    .innerJoin('webhook_endpoints as endpoint', 'endpoint.id', 'delivery.endpoint_id')
    .innerJoin('webhook_messages as message', 'message.id', 'delivery.message_id')
    .select(['endpoint.url', 'endpoint.secrets', 'message.id as messageId', 'message.body'])
    .select('delivery.created_at as createdAt')
    .where('delivery.id', '=', deliveryId)
    .where('delivery.status', '=', 'pending')
    .where('endpoint.status', '=', 'active')
    .executeTakeFirst();
  return found ?? null;
}

export interface Attempted {
  readonly deliveryId: string;
  /** Of the answer; null: none came. */
  readonly httpStatus: number | null;
  /** A code, never words of the other side; null: it went well. */
  readonly error: string | null;
  readonly startedAtMs: number;
  readonly nowMs: number;
}

/** One that was canceled, or whose endpoint was deleted while it was on its way, stays as it is. */
export async function recordDelivered(db: Database, attempted: Attempted): Promise<void> {
  await attempts(db, attempted)
    .set({ status: 'delivered', delivered_at: new Date(attempted.nowMs), next_attempt_at: null })
    .execute();
}

export type Missed = { readonly kind: 'again'; readonly pauseMs: number } | { readonly kind: 'givenUp' };

/**
 * The next attempt comes after a pause, unless that would be later than three days after the first one: then it has
 * failed, and the next of its line goes on. Locks no row but its own, so it never stands in a circle of waiters.
 * @param pauseAfter of how long it had been tried when this attempt began.
 * @returns null where it did not wait any more: it was canceled, or deleted with its endpoint.
 */
export async function recordMissed(
  db: Database,
  attempted: Attempted,
  pauseAfter: (triedForMs: number) => number,
): Promise<Missed | null> {
  return db.transaction().execute(async (trx) => {
    const missed = await attempts(trx, attempted).returning('first_attempt_at').executeTakeFirst();
    if (!missed) return null;
    const firstMs = missed.first_attempt_at?.getTime() ?? attempted.startedAtMs;
    const pauseMs = pauseAfter(Math.max(0, attempted.startedAtMs - firstMs));
    const nextMs = attempted.nowMs + pauseMs;
    const isOver = nextMs > firstMs + TRIED_FOR_MS;
    await trx
      .updateTable('webhook_deliveries')
      .set(isOver ? { status: 'failed', next_attempt_at: null } : waitingUntil(nextMs))
      .where('id', '=', attempted.deliveryId)
      .execute();
    return isOver ? { kind: 'givenUp' } : { kind: 'again', pauseMs };
  });
}

/** No attempt was made: others at the same host are under way. */
export async function postponeDelivery(db: Database, deliveryId: string, untilMs: number): Promise<void> {
  await db
    .updateTable('webhook_deliveries')
    .set(waitingUntil(untilMs))
    .where('id', '=', deliveryId)
    .where('status', '=', 'pending')
    .execute();
}

function waitingUntil(nextMs: number) {
  return { next_attempt_at: new Date(nextMs), start_after: new Date(nextMs + TAKEN_FOR_MS) };
}

/** The endpoint wants no more: neither this message nor any other. */
export async function recordGone(db: Database, attempted: Attempted): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const endpoint = await trx
      .selectFrom('webhook_endpoints')
      .select('id')
      .where('id', 'in', (of) =>
        of.selectFrom('webhook_deliveries').select('endpoint_id').where('id', '=', attempted.deliveryId),
      )
      .forNoKeyUpdate()
      .executeTakeFirst();
    if (!endpoint) return;
    await attempts(trx, attempted).set({ status: 'failed', next_attempt_at: null }).execute();
    await disableEndpoint(trx, endpoint.id, 'It answered 410 Gone.', attempted.nowMs);
  });
  await cancelForDisabled(db);
}

function attempts(db: Database | LedgerTransaction, attempted: Attempted) {
  return db
    .updateTable('webhook_deliveries')
    .set({
      attempts: sql`attempts + 1`,
      first_attempt_at: sql`coalesce(first_attempt_at, ${new Date(attempted.startedAtMs)})`,
      last_attempt_at: new Date(attempted.startedAtMs),
      last_status: attempted.httpStatus,
      last_error: attempted.error,
    })
    .where('id', '=', attempted.deliveryId)
    .where('status', '=', 'pending');
}

/** Newest first. Null: the cursor is none of the endpoint's. */
export async function listDeliveries(
  db: Database,
  endpointId: string,
  page: PageRequest,
): Promise<Page<DeliveryRow> | null> {
  let query = deliveriesWithMessages(db).where('delivery.endpoint_id', '=', endpointId);
  const { cursor } = page;
  if (cursor !== null) {
    const at = await findDelivery(db, endpointId, cursor.id);
    if (!at) return null;
    query = query.where('delivery.sequence', cursor.side === 'before' ? '>' : '<', at.sequence);
  }
  const rows = await query
    .orderBy('delivery.sequence', cursor?.side === 'before' ? 'asc' : 'desc')
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page);
}

export async function findDelivery(
  db: Database,
  endpointId: string,
  id: string,
): Promise<DeliveryRow | null> {
  const found = await deliveriesWithMessages(db)
    .where('delivery.endpoint_id', '=', endpointId)
    .where('delivery.id', '=', id)
    .executeTakeFirst();
  return found ?? null;
}

function deliveriesWithMessages(db: Database | LedgerTransaction) {
  return db
    .selectFrom('webhook_deliveries as delivery')
    .innerJoin('webhook_messages as message', 'message.id', 'delivery.message_id')
    .selectAll('delivery')
    .select(['message.type', 'message.refund_id', 'message.version']);
}

export type Ordered =
  { readonly kind: 'ordered'; readonly deliveryId: string } | { readonly kind: 'disabled' };

/** Sends the same message once more, under its own id; one that waits is tried now. Null: it is none of the endpoint's. */
export async function resendDelivery(
  db: Database,
  endpointId: string,
  deliveryId: string,
  nowMs: number,
): Promise<Ordered | null> {
  return whileActive(db, endpointId, async (trx) => {
    const { numUpdatedRows } = await trx
      .updateTable('webhook_deliveries')
      .set({
        status: 'pending',
        first_attempt_at: null,
        next_attempt_at: new Date(nowMs),
        delivered_at: null,
        start_after: new Date(nowMs),
      })
      .where('id', '=', deliveryId)
      .where('endpoint_id', '=', endpointId)
      .executeTakeFirstOrThrow();
    return numUpdatedRows > 0n ? deliveryId : null;
  });
}

/** Null: there is no such endpoint. */
export async function pingEndpoint(db: Database, endpointId: string, nowMs: number): Promise<Ordered | null> {
  return whileActive(db, endpointId, (trx) => notePing(trx, { id: endpointId }, nowMs));
}

async function whileActive(
  db: Database,
  endpointId: string,
  order: (trx: LedgerTransaction) => Promise<string | null>,
): Promise<Ordered | null> {
  return db.transaction().execute(async (trx) => {
    const endpoint = await trx
      .selectFrom('webhook_endpoints')
      .select('status')
      .where('id', '=', endpointId)
      .forShare()
      .executeTakeFirst();
    if (!endpoint) return null;
    if (endpoint.status === 'disabled') return { kind: 'disabled' };
    const deliveryId = await order(trx);
    return deliveryId === null ? null : { kind: 'ordered', deliveryId };
  });
}
