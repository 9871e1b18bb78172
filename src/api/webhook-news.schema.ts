import { z } from 'zod';
import { NEWS_TYPES, newsOf, PING_TYPE, type NewsType } from '../domain/news.js';
import { REFUND_STATUSES } from '../domain/refund.js';
import { refundExample, refundResource } from './refund.schema.js';

/** What an endpoint is sent of a refund. */
export const refundNews = z
  .object({
    type: z.enum(NEWS_TYPES),
    timestamp: z.iso.datetime().meta({ description: 'When it happened.' }),
    data: refundResource,
  })
  .meta({ id: 'RefundNews' });

/** What an endpoint is sent to see whether it listens. */
export const webhookPing = z
  .object({
    type: z.literal(PING_TYPE),
    timestamp: z.iso.datetime(),
    data: z.object({ id: z.string(), object: z.literal('webhook_endpoint') }),
  })
  .meta({ id: 'WebhookPing' });

const HAPPENED_AT = '2026-03-02T14:05:03.120Z';

export const pingExample: z.output<typeof webhookPing> = {
  type: PING_TYPE,
  timestamp: HAPPENED_AT,
  data: { id: 'whe_f93d5ed3f243b9fdac215b7f', object: 'webhook_endpoint' },
};

/** A refund in the status that such news come with. */
export function newsExample(type: NewsType) {
  const status = REFUND_STATUSES.find((each) => each !== 'pending' && newsOf('pending', each).includes(type));
  if (status === 'succeeded') return { type, timestamp: HAPPENED_AT, data: refundExample };
  const unfinished = { ...refundExample, evidence: null };
  const data = status
    ? { ...unfinished, status }
    : { ...unfinished, status: 'pending', pending_reason: 'validating' };
  return { type, timestamp: HAPPENED_AT, data };
}
