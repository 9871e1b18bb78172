import type { z } from 'zod';
import { refundDocument } from '../ledger/refund-document.js';
import type { RefundRow } from '../ledger/refund-reads.js';
import type { refundResource } from './refund.schema.js';

/** The same document that webhooks carry. */
export function toRefundResource(row: RefundRow): z.output<typeof refundResource> {
  return refundDocument(row);
}
