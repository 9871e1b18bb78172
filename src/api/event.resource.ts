import type { z } from 'zod';
import type { PageRequest } from '../ledger/page.js';
import type { EventRow } from '../ledger/refund-reads.js';
import type { eventResource } from './event.schema.js';
import { pageRequest, type pagingQuery } from './list.schema.js';

const ID_PREFIX = 'evt_';

export function toEventResource(row: EventRow): z.output<typeof eventResource> {
  return {
    id: ID_PREFIX + String(row.id),
    object: 'event',
    type: row.type,
    origin: row.origin,
    actor: row.actor,
    reason: row.reason,
    request_id: row.request_id,
    occurred_at: row.occurred_at.toISOString(),
    data: row.data,
    sequence: row.sequence,
    hash: row.hash,
    previous_hash: row.previous_hash,
    refund_id: row.refund_id,
    payment_id: row.payment_id,
  };
}

/** Cursors are event ids; the ledger knows their numbers. What is no such id names nothing there. */
export function eventPageRequest(query: z.output<typeof pagingQuery>): PageRequest {
  const asked = pageRequest(query);
  if (asked.cursor === null) return asked;
  return {
    ...asked,
    cursor: { ...asked.cursor, id: /^evt_([1-9]\d{0,15})$/.exec(asked.cursor.id)?.[1] ?? '' },
  };
}
