import { sql } from 'kysely';
import { isOpen, REFUND_STATUSES } from '../domain/refund.js';
import type { Database } from './database.js';
import { UNUSABLE_READING } from './refunds.js';

const OPEN_STATUSES = REFUND_STATUSES.filter(isOpen);

export interface OpenRefundRow {
  readonly id: string;
  readonly provider: string;
  readonly payment_id: string;
  readonly reference: string | null;
  readonly amount_minor: number;
  readonly currency: string;
  readonly refund_deadline: Date | null;
}

/** Every refund that should have a running process, page by page, in the order of their ids. */
export async function* openRefunds(db: Database, pageSize: number): AsyncGenerator<OpenRefundRow[]> {
  for (let after = ''; ;) {
    const page = await db
      .selectFrom('refunds')
      .select(['id', 'provider', 'payment_id', 'reference', 'amount_minor', 'currency', 'refund_deadline'])
      .where('status', 'in', OPEN_STATUSES)
      .where('id', '>', after)
      .orderBy('id')
      .limit(pageSize)
      .execute();
    if (page.length > 0) yield page;
    const last = page.at(-1);
    if (!last || page.length < pageSize) return;
    after = last.id;
  }
}

/** Payments on which a refund waits because what the provider shows contradicts the ledger, longest wait first. */
export async function contradictedPayments(
  db: Database,
  limit: number,
): Promise<{ readonly paymentId: string; readonly provider: string }[]> {
  const rows = await db
    .selectFrom('refunds')
    .select(['payment_id', 'provider', (select) => select.fn.min('updated_at').as('since')])
    .where('status', '=', 'pending')
    .where('pending_reason', '=', 'provider_unavailable')
    .where(sql<boolean>`provider_error ->> 'code' = ${UNUSABLE_READING}`)
    .groupBy(['payment_id', 'provider'])
    .orderBy('since')
    .limit(limit)
    .execute();
  return rows.map(({ payment_id: paymentId, provider }) => ({ paymentId, provider }));
}
