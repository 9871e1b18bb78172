import { sql } from 'kysely';
import { createHash } from 'node:crypto';
import { isOpen, REFUND_STATUSES } from '../domain/refund.js';
import type { Database, LedgerTransaction } from './database.js';
import type { PaymentRow } from './refunds.js';

export interface StoredDelivery {
  readonly provider: string;
  readonly rawBody: Buffer;
  /** Canonical; null where the body names no payment. */
  readonly providerPaymentId: string | null;
}

/** Keeps each body once, with how often and when last it came. A repeat is news again: nobody has looked since. */
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
        matched_at: null,
      })),
    )
    .execute();
}

/** Whom a word from a provider concerns. */
export interface Concerned {
  readonly paymentId: string;
  readonly openRefundIds: readonly string[];
  /** One of them has an open attempt: it looks by itself, and only it can say whose a new entry is. */
  readonly attemptIsOpen: boolean;
  /** A worker waits for just this word beside its call, and marks the delivery as followed itself. */
  readonly isWatched: boolean;
}

/** Null: no such payment is registered. */
export async function concernedBy(
  db: Database,
  provider: string,
  canonicalPaymentId: string,
  nowMs: number,
): Promise<Concerned | null> {
  const rows = await db
    .selectFrom('payments')
    .leftJoin('refunds', (join) =>
      join
        .onRef('refunds.payment_id', '=', 'payments.id')
        .on('refunds.status', 'in', REFUND_STATUSES.filter(isOpen)),
    )
    .leftJoin('provider_attempts as attempt', (join) =>
      join.onRef('attempt.refund_id', '=', 'refunds.id').on('attempt.conclusion', 'is', null),
    )
    .select([
      'payments.id as paymentId',
      'refunds.id as refundId',
      'attempt.number as openAttempt',
      'attempt.watched_until as watchedUntil',
    ])
    .where('payments.provider', '=', provider)
    .where('payments.provider_payment_id', '=', canonicalPaymentId)
    .orderBy('refunds.created_at')
    .execute();
  const [first] = rows;
  return (
    (first && {
      paymentId: first.paymentId,
      openRefundIds: [...new Set(rows.flatMap(({ refundId }) => refundId ?? []))],
      attemptIsOpen: rows.some(({ openAttempt }) => openAttempt !== null),
      isWatched: rows.some(({ watchedUntil }) => watchedUntil !== null && watchedUntil.getTime() > nowMs),
    }) ??
    null
  );
}

/** Whether deliveries wait that named the payment and that nobody has followed. */
export async function hasUnmatchedDeliveries(db: Database, payment: PaymentAtProvider): Promise<boolean> {
  const waiting = await db
    .selectFrom('webhook_inbox')
    .select('digest')
    .where('provider', '=', payment.provider)
    .where('provider_payment_id', '=', payment.providerPaymentId)
    .where('matched_at', 'is', null)
    .limit(1)
    .executeTakeFirst();
  return waiting !== undefined;
}

export interface PaymentAtProvider {
  readonly provider: string;
  readonly providerPaymentId: string;
}

/** Marks all that came of these payments as followed. @returns those of them that were named. */
export async function takeDeliveries(
  db: Database,
  payments: readonly PaymentAtProvider[],
  nowMs: number,
): Promise<readonly PaymentAtProvider[]> {
  const providers = payments.map(({ provider }) => provider);
  const ids = payments.map(({ providerPaymentId }) => providerPaymentId);
  const taken = await db
    .updateTable('webhook_inbox')
    .set({ matched_at: new Date(nowMs) })
    .where('matched_at', 'is', null)
    .where(
      sql<boolean>`(provider, provider_payment_id) IN (SELECT * FROM unnest(${providers}::text[], ${ids}::text[]))`,
    )
    .returning(['provider', 'provider_payment_id'])
    .execute();
  return taken.flatMap(({ provider, provider_payment_id: providerPaymentId }) =>
    providerPaymentId === null ? [] : { provider, providerPaymentId },
  );
}

/** Marks what came until `untilMs` as followed. @returns how many deliveries that were. */
export async function matchDeliveries(
  db: Database | LedgerTransaction,
  payment: Pick<PaymentRow, 'provider' | 'provider_payment_id'>,
  untilMs: number,
  nowMs: number,
): Promise<number> {
  const matched = await db
    .updateTable('webhook_inbox')
    .set({ matched_at: new Date(nowMs) })
    .where('provider', '=', payment.provider)
    .where('provider_payment_id', '=', payment.provider_payment_id)
    .where('matched_at', 'is', null)
    .where('last_seen_at', '<=', new Date(untilMs))
    .executeTakeFirst();
  return Number(matched.numUpdatedRows);
}
