import { z } from 'zod';
import { listOf } from './list.schema.js';

export const eventExample = {
  id: 'evt_4',
  object: 'event',
  type: 'refund_created',
  origin: 'service',
  actor: 'rita',
  reason: 'requested_by_customer',
  request_id: 'req_f3de6285abee93bd99d33094',
  occurred_at: '2026-03-02T14:05:00.000Z',
  data: { status: 'pending', pending_reason: 'validating', version: 1, amount_minor: 1050, currency: 'BRL' },
  sequence: 1,
  hash: '3a0fca96ace616a4c1a484561b648253368496d5105a86c3fc291a100687d05f',
  previous_hash: '',
  refund_id: 'rfd_nbnrw488hqkbrvpm1m9p338zze',
  payment_id: 'pay_3ad655zj2crst2yxyt3z2rmwmy',
};

export const eventResource = z
  .object({
    id: z.string(),
    object: z.literal('event'),
    type: z.string(),
    origin: z
      .enum(['service', 'provider'])
      .meta({ description: 'provider: money moved there without this service.' }),
    actor: z.string(),
    reason: z.string().nullable(),
    request_id: z.string().nullable(),
    occurred_at: z.iso.datetime(),
    data: z.record(z.string(), z.unknown()),
    sequence: z.int(),
    hash: z.string(),
    previous_hash: z.string(),
    refund_id: z.string().nullable(),
    payment_id: z.string(),
  })
  .meta({ id: 'Event', examples: [eventExample] });

export const eventList = listOf('EventList', eventResource);
