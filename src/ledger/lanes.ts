import { sql, type RawBuilder, type SelectQueryBuilder } from 'kysely';
import type { Database, LedgerTransaction, Schema } from './database.js';
import type { WriteBeside } from './event-chain.js';
import { lockRefund, showPending, type RefundRow } from './refunds.js';

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
    const { holder, first } = await queueOf(trx, payment.id, nowMs);
    // Nobody would ever give back what a closed refund takes; the claim that follows says that it is closed.
    if (holder === refundId || refund.status !== 'pending') return { kind: 'taken' };

    if (holder !== null || (first !== null && first !== refundId)) {
      await joinQueue(trx, refund, nowMs);
      const behind = holder ?? (await queueOf(trx, payment.id, nowMs)).first;
      if (behind !== null && behind !== refundId) {
        const event = { type: 'queued', data: { behind_refund_id: behind } };
        await showPending(trx, refund, 'queued', event, nowMs);
        return { kind: 'busy', behindRefundId: behind };
      }
    }
    await trx
      .with('left', (query) => query.deleteFrom('lane_waiters').where('refund_id', '=', refundId))
      .insertInto('lanes')
      .values({ payment_id: payment.id, holder_refund_id: refundId, taken_at: new Date(nowMs) })
      .execute();
    return { kind: 'taken' };
  });
}

/** For a refund that is written by the same statement. The caller holds the payment's row. */
export function takeIfFree(refund: { id: string; payment_id: string }, nowMs: number): WriteBeside {
  return (query) =>
    query
      .insertInto('lanes')
      .columns(['payment_id', 'holder_refund_id', 'taken_at'])
      .expression(
        query
          .selectNoFrom([
            sql<string>`${refund.payment_id}`.as('payment_id'),
            sql<string>`${refund.id}`.as('holder_refund_id'),
            sql<Date>`${new Date(nowMs)}::timestamptz`.as('taken_at'),
          ])
          .where(isFree(refund.payment_id)),
      );
}

/** Nobody holds the lane, and nobody waits for it. */
export function isFree(paymentId: string): RawBuilder<boolean> {
  return sql`NOT EXISTS (SELECT FROM lanes WHERE payment_id = ${paymentId})
    AND NOT EXISTS (SELECT FROM lane_waiters WHERE payment_id = ${paymentId})`;
}

/** Gives the lane back, and the place in the queue; answers who should be woken. The caller holds the payment's row. */
export async function releaseLane(
  trx: LedgerTransaction,
  refund: { id: string; payment_id: string },
  nowMs: number,
): Promise<string | null> {
  const released = await trx
    .with('left', (query) => query.deleteFrom('lane_waiters').where('refund_id', '=', refund.id))
    .deleteFrom('lanes')
    .where('payment_id', '=', refund.payment_id)
    .where('holder_refund_id', '=', refund.id)
    // Its own place in the queue is still to be seen here.
    .returning(firstInLine(trx, refund.payment_id, nowMs).where('refund_id', '<>', refund.id).as('next'))
    .executeTakeFirst();
  return released?.next ?? null;
}

export function laneHolder(
  trx: Database | LedgerTransaction,
  paymentId: string,
): SelectQueryBuilder<Schema, 'lanes', { holder_refund_id: string }> {
  return trx.selectFrom('lanes').select('holder_refund_id').where('payment_id', '=', paymentId);
}

/** `first`: whose turn it is once nobody holds the lane. */
async function queueOf(
  trx: LedgerTransaction,
  paymentId: string,
  nowMs: number,
): Promise<{ holder: string | null; first: string | null }> {
  return trx
    .selectNoFrom([laneHolder(trx, paymentId).as('holder'), firstInLine(trx, paymentId, nowMs).as('first')])
    .executeTakeFirstOrThrow();
}

function firstInLine(trx: LedgerTransaction, paymentId: string, nowMs: number) {
  return trx
    .selectFrom('lane_waiters')
    .select('refund_id')
    .where('payment_id', '=', paymentId)
    .where('seen_at', '>=', new Date(nowMs - WAITER_SILENT_MS))
    .orderBy('deadline', (order) => order.asc().nullsLast())
    .orderBy('enqueued_at')
    .orderBy('refund_id')
    .limit(1);
}

async function joinQueue(trx: LedgerTransaction, refund: RefundRow, nowMs: number): Promise<void> {
  await trx
    .insertInto('lane_waiters')
    .values({
      refund_id: refund.id,
      payment_id: refund.payment_id,
      deadline: refund.refund_deadline,
      enqueued_at: refund.created_at,
      seen_at: new Date(nowMs),
    })
    .onConflict((conflict) => conflict.column('refund_id').doUpdateSet({ seen_at: new Date(nowMs) }))
    .execute();
}
