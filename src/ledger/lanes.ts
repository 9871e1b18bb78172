import { showPending, lockRefund } from './refunds.js';
import type { Database, LedgerTransaction } from './database.js';

/** A waiter that has not asked for this long is passed over: its process may be lost. */
const WAITER_SILENT_MS = 120_000;

export type LaneAnswer =
  { readonly kind: 'taken' } | { readonly kind: 'busy'; readonly behindRefundId: string };

/**
 * Takes the payment's lane for the refund, or queues it: earliest deadline first, then oldest.
 * Safe to repeat: the holder is told again that it holds.
 */
export async function takeLane(db: Database, refundId: string, nowMs: number): Promise<LaneAnswer> {
  return db.transaction().execute(async (trx) => {
    const { payment, refund } = await lockRefund(trx, refundId);
    const holder = await trx
      .selectFrom('lanes')
      .select('holder_refund_id')
      .where('payment_id', '=', payment.id)
      .executeTakeFirst();
    if (holder?.holder_refund_id === refundId) return { kind: 'taken' };
    // Nobody would ever give it back; the claim that follows says that the refund is closed.
    if (refund.status !== 'pending') return { kind: 'taken' };

    await trx
      .insertInto('lane_waiters')
      .values({
        refund_id: refundId,
        payment_id: payment.id,
        deadline: refund.refund_deadline,
        enqueued_at: refund.created_at,
        seen_at: new Date(nowMs),
      })
      .onConflict((conflict) => conflict.column('refund_id').doUpdateSet({ seen_at: new Date(nowMs) }))
      .execute();
    const first = await nextWaiter(trx, payment.id, nowMs);
    const behind = holder?.holder_refund_id ?? first;
    if (behind !== undefined && behind !== refundId) {
      await showPending(trx, refund, 'queued', { type: 'queued', data: { behind_refund_id: behind } }, nowMs);
      return { kind: 'busy', behindRefundId: behind };
    }
    await trx.deleteFrom('lane_waiters').where('refund_id', '=', refundId).execute();
    await trx
      .insertInto('lanes')
      .values({ payment_id: payment.id, holder_refund_id: refundId, taken_at: new Date(nowMs) })
      .execute();
    return { kind: 'taken' };
  });
}

/** Gives the lane back, and the place in the queue; answers who should be woken. The caller holds the payment's row. */
export async function releaseLane(
  trx: LedgerTransaction,
  refund: { id: string; payment_id: string },
  nowMs: number,
): Promise<string | null> {
  await trx.deleteFrom('lane_waiters').where('refund_id', '=', refund.id).execute();
  const released = await trx
    .deleteFrom('lanes')
    .where('payment_id', '=', refund.payment_id)
    .where('holder_refund_id', '=', refund.id)
    .executeTakeFirst();
  if (released.numDeletedRows === 0n) return null;
  return (await nextWaiter(trx, refund.payment_id, nowMs)) ?? null;
}

export async function holdsLane(
  trx: LedgerTransaction,
  refund: { id: string; payment_id: string },
): Promise<boolean> {
  const lane = await trx
    .selectFrom('lanes')
    .select('holder_refund_id')
    .where('payment_id', '=', refund.payment_id)
    .executeTakeFirst();
  return lane?.holder_refund_id === refund.id;
}

async function nextWaiter(
  trx: LedgerTransaction,
  paymentId: string,
  nowMs: number,
): Promise<string | undefined> {
  const row = await trx
    .selectFrom('lane_waiters')
    .select('refund_id')
    .where('payment_id', '=', paymentId)
    .where('seen_at', '>=', new Date(nowMs - WAITER_SILENT_MS))
    .orderBy('deadline', (order) => order.asc().nullsLast())
    .orderBy('enqueued_at')
    .orderBy('refund_id')
    .limit(1)
    .executeTakeFirst();
  return row?.refund_id;
}
