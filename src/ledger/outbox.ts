import { randomBytes } from 'node:crypto';
import { PING_TYPE, type NewsType } from '../domain/news.js';
import type { LedgerTransaction } from './database.js';
import { refundDocument } from './refund-document.js';
import { findRefund } from './refund-reads.js';

/**
 * Writes down whom to tell what of a refund, in the transaction in which it happened: the document is as others see it
 * at this version, and never rendered again. Nothing is written where nobody wants it.
 */
export async function noteNews(
  trx: LedgerTransaction,
  refundId: string,
  types: readonly NewsType[],
  nowMs: number,
): Promise<void> {
  const endpoints = await trx
    .selectFrom('webhook_endpoints')
    .select(['id', 'types'])
    .where('status', '=', 'active')
    .orderBy('id')
    // So that none is deleted before this is over; whatever else changes it must never make a refund wait.
    .forKeyShare()
    .execute();
  const wanting = (type: NewsType) =>
    endpoints.filter((endpoint) => endpoint.types?.includes(type) ?? true).map(({ id }) => id);
  const wanted = types.filter((type) => wanting(type).length > 0);
  if (wanted.length === 0) return;

  const refund = await findRefund(trx, refundId);
  if (!refund) throw new Error(`refund ${refundId} is not there to be told of`);
  const { version } = refund;
  for (const type of wanted) {
    const message = { refundId, version, type, data: refundDocument(refund), nowMs };
    await write(trx, message, wanting(type));
  }
}

/** @returns the delivery's id. */
export async function notePing(
  trx: LedgerTransaction,
  endpoint: { readonly id: string },
  nowMs: number,
): Promise<string> {
  const data = { id: endpoint.id, object: 'webhook_endpoint' };
  const ping = { refundId: null, version: null, type: PING_TYPE, data, nowMs };
  const [deliveryId] = await write(trx, ping, [endpoint.id]);
  if (deliveryId === undefined) throw new Error('a ping has one delivery');
  return deliveryId;
}

interface Message {
  readonly refundId: string | null;
  readonly version: number | null;
  readonly type: string;
  readonly data: object;
  readonly nowMs: number;
}

async function write(
  trx: LedgerTransaction,
  { refundId, version, type, data, nowMs }: Message,
  endpointIds: readonly string[],
): Promise<string[]> {
  const occurredAt = new Date(nowMs);
  const { id, sequence } = await trx
    .insertInto('webhook_messages')
    .values({
      id: newId('msg'),
      refund_id: refundId,
      version,
      type,
      body: JSON.stringify({ type, timestamp: occurredAt.toISOString(), data }),
      occurred_at: occurredAt,
    })
    .returning(['id', 'sequence'])
    .executeTakeFirstOrThrow();
  const deliveries = endpointIds.map((endpointId) => ({
    id: newId('whd'),
    endpoint_id: endpointId,
    message_id: id,
    sequence,
    subject: refundId ?? id,
    start_after: occurredAt,
    created_at: occurredAt,
  }));
  await trx.insertInto('webhook_deliveries').values(deliveries).execute();
  return deliveries.map((delivery) => delivery.id);
}

function newId(kind: 'msg' | 'whd'): string {
  return `${kind}_${randomBytes(12).toString('hex')}`;
}
