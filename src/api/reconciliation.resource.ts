import type { z } from 'zod';
import type { ReconciliationRow } from '../ledger/reconciliations.js';
import type { reconciliationResource } from './reconciliation.schema.js';

export function toReconciliationResource(row: ReconciliationRow): z.output<typeof reconciliationResource> {
  const { found, differences, ...report } = row.report;
  return {
    id: row.id,
    object: 'reconciliation',
    origin: row.origin,
    status: row.status,
    requested_by: row.requested_by,
    started_at: row.started_at.toISOString(),
    finished_at: row.finished_at?.toISOString() ?? null,
    payments_read: report.paymentsRead,
    payments_unreadable: report.paymentsUnreadable,
    webhooks_matched: report.webhooksMatched,
    adopted: found.adopted,
    reversed: found.reversed,
    landed_late: found.landed_late,
    external_found: found.external,
    disappeared: found.disappeared,
    other_amounts: found.other_amount,
    overshoots: found.overshoot,
    differences_total: Object.values(found).reduce((sum, count) => sum + count, 0),
    differences: differences.map(({ kind, paymentId, refundId, detail }) => ({
      kind,
      payment_id: paymentId,
      refund_id: refundId,
      detail,
    })),
  };
}
