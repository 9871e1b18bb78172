import { z } from 'zod';
import { NEWS_TYPES } from '../domain/news.js';
import { resourceId } from './field.schema.js';
import { listOf } from './list.schema.js';

const URL_MAX = 2_048;

export const endpointBody = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .max(URL_MAX)
      .meta({
        description: 'https, without credentials, to an address of the public internet.',
        examples: ['https://shop.example/hooks/refunds'],
      }),
    types: z
      .array(z.enum(NEWS_TYPES))
      .min(1)
      .max(NEWS_TYPES.length)
      .refine((types) => new Set(types).size === types.length, 'must name each type once')
      .meta({ uniqueItems: true, description: 'Absent: all, also those that are yet to come.' })
      .optional(),
  })
  .meta({ id: 'WebhookEndpointRequest' });

/** Nothing to say but "now". */
export const nothingBody = z.strictObject({}).optional().meta({ id: 'WebhookOrder' });

export const deliveryPath = z.strictObject({ id: resourceId, delivery_id: resourceId });

const secret = z.string().meta({
  description: 'Verifies the signatures, as Standard Webhooks say. Shown this once.',
  examples: [`whsec_${'A'.repeat(43)}=`],
});

const endpoint = z.object({
  id: z.string(),
  object: z.literal('webhook_endpoint'),
  url: z.string(),
  types: z.array(z.string()).nullable().meta({ description: 'Null: all.' }),
  status: z.enum(['active', 'disabled']),
  disabled_reason: z.string().nullable(),
  created_by: z.string(),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});

export const endpointResource = endpoint.meta({ id: 'WebhookEndpoint' });
export const endpointWithSecret = endpoint.extend({ secret }).meta({ id: 'WebhookEndpointWithSecret' });
export const endpointList = listOf('WebhookEndpointList', endpointResource);

export const deletedEndpoint = z
  .object({ id: z.string(), object: z.literal('webhook_endpoint'), deleted: z.literal(true) })
  .meta({ id: 'DeletedWebhookEndpoint' });

export const deliveryResource = z
  .object({
    id: z.string(),
    object: z.literal('webhook_delivery'),
    endpoint_id: z.string(),
    message_id: z.string().meta({ description: 'The header `webhook-id`: the same at every attempt.' }),
    type: z.string(),
    refund_id: z.string().nullable().meta({ description: 'Null: a ping.' }),
    version: z.int().nullable().meta({ description: "Of the refund. It is the message's `data.version`." }),
    status: z.enum(['pending', 'delivered', 'failed', 'canceled']),
    attempts: z.int(),
    last_attempt_at: z.iso.datetime().nullable(),
    next_attempt_at: z.iso.datetime().nullable(),
    last_status: z.int().nullable().meta({ description: 'The HTTP status of the last answer.' }),
    last_error: z.string().nullable().meta({ description: 'A code; null where the last attempt went well.' }),
    delivered_at: z.iso.datetime().nullable(),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'WebhookDelivery' });

export const deliveryList = listOf('WebhookDeliveryList', deliveryResource);
