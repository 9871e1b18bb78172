import { createHash } from 'node:crypto';
import type { Database } from './database.js';

export interface StoredDelivery {
  readonly provider: string;
  readonly rawBody: Buffer;
  /** Canonical; null where the body names no payment. */
  readonly providerPaymentId: string | null;
}

/** Keeps each body once, with how often and when last it came. */
export async function storeDelivery(db: Database, delivery: StoredDelivery, nowMs: number): Promise<void> {
  const seenAt = new Date(nowMs);
  await db
    .insertInto('webhook_inbox')
    .values({
      provider: delivery.provider,
      digest: createHash('sha256').update(delivery.rawBody).digest('hex'),
      body: delivery.rawBody,
      provider_payment_id: delivery.providerPaymentId,
      first_seen_at: seenAt,
      last_seen_at: seenAt,
    })
    .onConflict((conflict) =>
      conflict.columns(['provider', 'digest']).doUpdateSet((row) => ({
        deliveries: row('webhook_inbox.deliveries', '+', 1),
        last_seen_at: seenAt,
      })),
    )
    .execute();
}
