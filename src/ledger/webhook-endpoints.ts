import { sql, type Selectable } from 'kysely';
import type { Database, LedgerTransaction, Schema } from './database.js';
import { pageOf, type Page, type PageRequest } from './page.js';

/** As it rests: whoever holds PAYLOAD_KEYS can open it. */
export interface SealedSecret {
  readonly sealed: string;
  /** RFC 3339; null: the newest one, which ends when the next takes its place. */
  readonly until: string | null;
}

export type EndpointRow = Selectable<Schema['webhook_endpoints']>;

export interface NewEndpoint {
  readonly id: string;
  readonly url: string;
  /** Null: all. */
  readonly types: readonly string[] | null;
  readonly sealedSecret: string;
  readonly actor: string;
  readonly nowMs: number;
}

export async function createEndpoint(db: Database, endpoint: NewEndpoint): Promise<EndpointRow> {
  const at = new Date(endpoint.nowMs);
  return db
    .insertInto('webhook_endpoints')
    .values({
      id: endpoint.id,
      url: endpoint.url,
      types: endpoint.types === null ? null : [...endpoint.types],
      secrets: JSON.stringify([{ sealed: endpoint.sealedSecret, until: null } satisfies SealedSecret]),
      created_by: endpoint.actor,
      created_at: at,
      updated_at: at,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function findEndpoint(db: Database, id: string): Promise<EndpointRow | null> {
  return (
    (await db.selectFrom('webhook_endpoints').selectAll().where('id', '=', id).executeTakeFirst()) ?? null
  );
}

/** Newest first. Null: the cursor names no endpoint. */
export async function listEndpoints(db: Database, page: PageRequest): Promise<Page<EndpointRow> | null> {
  let query = db.selectFrom('webhook_endpoints').selectAll();
  const { cursor } = page;
  if (cursor !== null) {
    const at = await findEndpoint(db, cursor.id);
    if (!at) return null;
    const comparison = cursor.side === 'before' ? sql.raw('>') : sql.raw('<');
    query = query.where(sql<boolean>`(created_at, id) ${comparison} (${at.created_at}, ${at.id})`);
  }
  const direction = cursor?.side === 'before' ? 'asc' : 'desc';
  const rows = await query
    .orderBy('created_at', direction)
    .orderBy('id', direction)
    .limit(page.limit + 1)
    .execute();
  return pageOf(rows, page);
}

const CHANGED_AT_ONCE = 2_000;

/**
 * Its deliveries go with it, a part at a time and after it is disabled: whoever writes news waits for the row of an
 * endpoint, and that must not take long. @returns whether it was there.
 */
export async function deleteEndpoint(db: Database, id: string, nowMs: number): Promise<boolean> {
  await disableEndpoint(db, id, 'It is being deleted.', nowMs);
  for (let left = true; left;) {
    const { numDeletedRows } = await db
      .deleteFrom('webhook_deliveries')
      .where('id', 'in', (of) =>
        of.selectFrom('webhook_deliveries').select('id').where('endpoint_id', '=', id).limit(CHANGED_AT_ONCE),
      )
      .executeTakeFirstOrThrow();
    left = numDeletedRows > 0n;
  }
  const { numDeletedRows } = await db
    .deleteFrom('webhook_endpoints')
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  return numDeletedRows > 0n;
}

/** The new secret signs at once; the one before it signs beside it until the overlap is over. */
export async function rotateSecret(
  db: Database,
  endpointId: string,
  rotation: { readonly sealedSecret: string; readonly overlapMs: number; readonly nowMs: number },
): Promise<EndpointRow | null> {
  const { sealedSecret, overlapMs, nowMs } = rotation;
  return db.transaction().execute(async (trx) => {
    const endpoint = await trx
      .selectFrom('webhook_endpoints')
      .select('secrets')
      .where('id', '=', endpointId)
      .forNoKeyUpdate()
      .executeTakeFirst();
    if (!endpoint) return null;
    const [newest] = endpoint.secrets;
    const until = new Date(nowMs + overlapMs).toISOString();
    // Two at most: whoever rotates twice in a day wants the first one gone.
    const secrets: SealedSecret[] = [
      { sealed: sealedSecret, until: null },
      ...(newest ? [{ sealed: newest.sealed, until }] : []),
    ];
    return trx
      .updateTable('webhook_endpoints')
      .set({ secrets: JSON.stringify(secrets), updated_at: new Date(nowMs) })
      .where('id', '=', endpointId)
      .returningAll()
      .executeTakeFirstOrThrow();
  });
}

/** News goes there again, from the next transition on; what was canceled stays so, and can be sent again by hand. */
export async function enableEndpoint(db: Database, id: string, nowMs: number): Promise<EndpointRow | null> {
  const enabled = await db
    .updateTable('webhook_endpoints')
    .set({ status: 'active', disabled_reason: null, updated_at: new Date(nowMs) })
    .where('id', '=', id)
    .where('status', '=', 'disabled')
    .returningAll()
    .executeTakeFirst();
  return enabled ?? findEndpoint(db, id);
}

/**
 * Nothing is sent there any more. What waits is canceled apart from it (`cancelForDisabled`): whoever is about to delete
 * the endpoint, or to change it, would wait for as long as that takes.
 */
export async function disableEndpoint(
  db: Database | LedgerTransaction,
  endpointId: string,
  reason: string,
  nowMs: number,
): Promise<void> {
  await db
    .updateTable('webhook_endpoints')
    .set({ status: 'disabled', disabled_reason: reason, updated_at: new Date(nowMs) })
    .where('id', '=', endpointId)
    .execute();
}

/** Of what waits for disabled endpoints, a part at a time; what somebody works on is left for the next time. */
export async function cancelForDisabled(db: Database): Promise<void> {
  await sql`
    UPDATE webhook_deliveries SET status = 'canceled', next_attempt_at = NULL WHERE id IN (
      SELECT delivery.id FROM webhook_endpoints AS endpoint
      JOIN webhook_deliveries AS delivery ON delivery.endpoint_id = endpoint.id
      WHERE endpoint.status = 'disabled' AND delivery.status = 'pending'
      LIMIT ${CHANGED_AT_ONCE} FOR UPDATE OF delivery SKIP LOCKED
    )`.execute(db);
}
