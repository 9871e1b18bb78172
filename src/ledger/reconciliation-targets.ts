import { sql } from 'kysely';
import { isOpen, REFUND_STATUSES } from '../domain/refund.js';
import type { Database } from './database.js';

/**
 * So long after its end a refund is read again every night: providers take back, or carry out late, within a few
 * working days. What happens later is told by a webhook, or seen at the payment's next refund.
 */
const SETTLED_WITHIN_MS = 7 * 24 * 3_600_000;

/** `all`: whatever may have changed. `doubtful`: where an earlier reading contradicts what had landed. */
export type ReconciliationPass = 'all' | 'doubtful';

export interface TargetPage {
  readonly provider: string;
  readonly pass: ReconciliationPass;
  /** The last payment of the page before, '' for the first. */
  readonly after: string;
  readonly limit: number;
  readonly nowMs: number;
}

/** The payments that a run reads, in the order of their ids. */
export async function paymentsToRead(db: Database, page: TargetPage): Promise<readonly string[]> {
  const found = await (page.pass === 'all' ? changeable(page) : doubtful(page)).execute(db);
  return found.rows.map(({ id }) => id);
}

function changeable({ provider, after, limit, nowMs }: TargetPage) {
  const open = REFUND_STATUSES.filter(isOpen);
  const since = new Date(nowMs - SETTLED_WITHIN_MS);
  return sql<{ id: string }>`
    SELECT payment_id AS id FROM refunds
     WHERE provider = ${provider} AND payment_id > ${after}
       AND (status = ANY(${open}) OR updated_at >= ${since})
    UNION
    SELECT payments.id FROM webhook_inbox AS inbox
      JOIN payments USING (provider, provider_payment_id)
     WHERE inbox.provider = ${provider} AND inbox.matched_at IS NULL AND payments.id > ${after}
    UNION
    (${doubtfulOf(provider, after)})
    ORDER BY id LIMIT ${limit}`;
}

function doubtful({ provider, after, limit }: TargetPage) {
  return sql<{
    id: string;
  }>`SELECT id FROM (${doubtfulOf(provider, after)}) AS doubtful ORDER BY id LIMIT ${limit}`;
}

function doubtfulOf(provider: string, after: string) {
  return sql`
    SELECT id FROM payments
     WHERE provider = ${provider} AND id > ${after} AND external_doubt IS NOT NULL
    UNION
    SELECT DISTINCT attempt.payment_id AS id FROM provider_attempts AS attempt
      JOIN refunds ON refunds.id = attempt.refund_id
     WHERE refunds.provider = ${provider} AND attempt.payment_id > ${after}
       AND refunds.status = 'succeeded' AND attempt.doubts <> '[]'`;
}
