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

/** How many refunds should have a running process. */
export async function countOpenRefunds(db: Database): Promise<number> {
  const { count } = await db
    .selectFrom('refunds')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('status', 'in', OPEN_STATUSES)
    .executeTakeFirstOrThrow();
  return count;
}

/** All of them at once: the order of their ids would have the ended ones read as well. */
export async function openRefundIds(db: Database): Promise<string[]> {
  const rows = await db.selectFrom('refunds').select('id').where('status', 'in', OPEN_STATUSES).execute();
  return rows.map(({ id }) => id);
}

/** Those of them that are open still. */
export async function openAmong(db: Database, ids: readonly string[]): Promise<OpenRefundRow[]> {
  return db
    .selectFrom('refunds')
    .select(['id', 'provider', 'payment_id', 'reference', 'amount_minor', 'currency', 'refund_deadline'])
    .where('id', 'in', ids)
    .where('status', 'in', OPEN_STATUSES)
    .execute();
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
