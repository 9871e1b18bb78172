import { z } from 'zod';
import { listOf } from './list.schema.js';

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
  .meta({ id: 'Event' });

export const eventList = listOf('EventList', eventResource);
