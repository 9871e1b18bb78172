import { sql, type Selectable } from 'kysely';
import type { Database, LedgerTransaction, Schema } from './database.js';
import { notePing } from './outbox.js';
import { pageOf, type Page, type PageRequest } from './page.js';
import { disableEndpoint, type SealedSecret } from './webhook-endpoints.js';

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

/**
 * Lines that lack a workflow, longest waiting first; each is taken, and offered again only when that was in vain. One
 * whose oldest message pauses before its next attempt is not disturbed by what has come behind it.
 */
export async function takeDueLines(
  db: Database,
  nowMs: number,
  atMost: number,
): Promise<readonly DeliveryLine[]> {
  const { rows } = await sql<DeliveryLine>`
    WITH due AS (
      SELECT id FROM webhook_deliveries
      WHERE status = 'pending' AND start_after <= ${new Date(nowMs)}
      ORDER BY start_after LIMIT ${atMost} FOR UPDATE SKIP LOCKED
    ), taken AS (
      UPDATE webhook_deliveries SET start_after = ${new Date(nowMs + TAKEN_FOR_MS)}
      FROM due WHERE webhook_deliveries.id = due.id
      RETURNING endpoint_id, subject, sequence
    )
    SELECT DISTINCT endpoint_id AS "endpointId", subject FROM taken
    WHERE NOT EXISTS (
      SELECT FROM webhook_deliveries AS older
      WHERE older.endpoint_id = taken.endpoint_id AND older.subject = taken.subject
        AND older.status = 'pending' AND older.sequence < taken.sequence
        AND older.start_after > ${new Date(nowMs)}
    )`.execute(db);
  return rows;
}

/** The oldest that is still to be delivered, and how long it has been tried already. Null: none is left. */
export async function nextDelivery(
  db: Database,
  line: DeliveryLine,
  nowMs: number,
): Promise<{ readonly deliveryId: string; readonly triedForMs: number } | null> {
  const next = await db
    .selectFrom('webhook_deliveries')
    .select(['id', 'first_attempt_at'])
    .where('endpoint_id', '=', line.endpointId)
    .where('subject', '=', line.subject)
    .where('status', '=', 'pending')
    .orderBy('sequence')
    .limit(1)
    .executeTakeFirst();
  if (!next) return null;
  const triedForMs = next.first_attempt_at ? Math.max(0, nowMs - next.first_attempt_at.getTime()) : 0;
  return { deliveryId: next.id, triedForMs };
}

export interface Outgoing {
  readonly url: string;
  readonly secrets: readonly SealedSecret[];
  readonly messageId: string;
  readonly body: string;
}

/** What is to be sent now. Null: it is not waiting any more. */
export async function findOutgoing(db: Database, deliveryId: string): Promise<Outgoing | null> {
  const found = await db
    .selectFrom('webhook_deliveries as delivery')
    .innerJoin('webhook_endpoints as endpoint', 'endpoint.id', 'delivery.endpoint_id')
    .innerJoin('webhook_messages as message', 'message.id', 'delivery.message_id')
    .select(['endpoint.url', 'endpoint.secrets', 'message.id as messageId', 'message.body'])
    .where('delivery.id', '=', deliveryId)
    .where('delivery.status', '=', 'pending')
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

/** The whole line waits for its next attempt. @returns how long; null: it is not to be delivered any more. */
export async function recordMissed(
  db: Database,
  attempted: Attempted,
  pauseMs: (attempts: number) => number,
): Promise<number | null> {
  return db.transaction().execute(async (trx) => {
    const missed = await attempts(trx, attempted)
      .returning(['attempts', 'endpoint_id', 'subject'])
      .executeTakeFirst();
    if (!missed) return null;
    const pause = pauseMs(missed.attempts);
    const nextMs = attempted.nowMs + pause;
    await trx
      .updateTable('webhook_deliveries')
      .set({ next_attempt_at: new Date(nextMs) })
      .where('id', '=', attempted.deliveryId)
      .execute();
    await trx
      .updateTable('webhook_deliveries')
      .set({ start_after: new Date(nextMs + TAKEN_FOR_MS) })
      .where('endpoint_id', '=', missed.endpoint_id)
      .where('subject', '=', missed.subject)
      .where('status', '=', 'pending')
      .execute();
    return pause;
  });
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
}

/** Its time is over; the next one of its line goes on. */
export async function giveUpDelivery(db: Database, deliveryId: string): Promise<void> {
  await db
    .updateTable('webhook_deliveries')
    .set({ status: 'failed', next_attempt_at: null })
    .where('id', '=', deliveryId)
    .where('status', '=', 'pending')
    .execute();
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
        next_attempt_at: null,
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
