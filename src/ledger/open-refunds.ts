import { isOpen, REFUND_STATUSES } from '../domain/refund.js';
import type { Database } from './database.js';

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
