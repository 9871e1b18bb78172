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
}

/** Null: no such payment is registered. */
export async function concernedBy(
  db: Database,
  provider: string,
  canonicalPaymentId: string,
): Promise<Concerned | null> {
  const payment = await db
    .selectFrom('payments')
    .select('id')
    .where('provider', '=', provider)
    .where('provider_payment_id', '=', canonicalPaymentId)
    .executeTakeFirst();
  if (!payment) return null;
  const refunds = await db
    .selectFrom('refunds')
    .select(['id', 'created_at'])
    .select((select) =>
      select
        .exists(
          select
            .selectFrom('provider_attempts as attempt')
            .select('attempt.number')
            .whereRef('attempt.refund_id', '=', 'refunds.id')
            .where('attempt.conclusion', 'is', null),
        )
        .as('attempt_is_open'),
    )
    .where('payment_id', '=', payment.id)
    .where('status', 'in', REFUND_STATUSES.filter(isOpen))
    .orderBy('created_at')
    .execute();
  return {
    paymentId: payment.id,
    openRefundIds: refunds.map(({ id }) => id),
    attemptIsOpen: refunds.some((refund) => refund.attempt_is_open),
  };
}

/** Whether deliveries wait that named the payment and that nobody has followed. */
export async function hasUnmatchedDeliveries(
  db: Database,
  payment: { readonly provider: string; readonly providerPaymentId: string },
): Promise<boolean> {
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
