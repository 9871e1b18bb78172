import type { LedgerTransaction } from './database.js';

/** The payment's refunds that a person has ended once, as their trails tell. */
export async function resolvedByPerson(
  trx: LedgerTransaction,
  paymentId: string,
): Promise<ReadonlySet<string>> {
  const events = await trx
    .selectFrom('refund_events')
    .select('refund_id')
    .where('payment_id', '=', paymentId)
    .where('type', '=', 'review_resolved')
    .execute();
  return new Set(events.flatMap(({ refund_id: refundId }) => refundId ?? []));
}
