import { z } from 'zod';
import { NEWS_TYPES } from '../domain/news.js';
import { resourceId } from './field.schema.js';
import { listOf } from './list.schema.js';

const URL_MAX = 2_048;
const LABEL = '[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*';
const BYTE = String.raw`(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)`;
const PORT = String.raw`(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])`;
/** So exact that the document tells who calls what is taken; whether the host may be reached is asked apart. */
const ENDPOINT_URL = new RegExp(
  `^https?://(?:(?:${LABEL}\\.)*[A-Za-z](?:-*[A-Za-z0-9])*|(?:${BYTE}\\.){3}${BYTE})(?::${PORT})?(?:[/?][!"$-~]*)?$`,
);

export const endpointBody = z
  .strictObject({
    url: z
      .string()
      .max(URL_MAX)
      .regex(
        ENDPOINT_URL,
        'must be an https URL with a host name or an IPv4 address, without credentials and fragment',
      )
      .meta({
        description:
          'To an address of the public internet. http only where `WEBHOOK_ALLOW_PRIVATE` is set, for tests and local networks.',
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
  .meta({
    id: 'WebhookEndpointRequest',
    examples: [{ url: 'https://shop.example/hooks/refunds', types: ['refund.succeeded', 'refund.failed'] }],
  });

/** Nothing to say but "now". */
export const nothingBody = z
  .strictObject({})
  .optional()
  .meta({ id: 'WebhookOrder', examples: [{}] });

export const deliveryPath = z.strictObject({ id: resourceId, delivery_id: resourceId });

const SECRET_EXAMPLE = `whsec_${'A'.repeat(43)}=`;

const secret = z.string().meta({
  description: 'Verifies the signatures, as Standard Webhooks say. Shown this once.',
});

const endpointExample = {
  id: 'whe_f93d5ed3f243b9fdac215b7f',
  object: 'webhook_endpoint',
  url: 'https://shop.example/hooks/refunds',
  types: ['refund.succeeded', 'refund.failed'],
  status: 'active',
  disabled_reason: null,
  created_by: 'ada',
  created_at: '2026-03-02T14:05:00.000Z',
  updated_at: '2026-03-02T14:05:00.000Z',
};

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

export const endpointResource = endpoint.meta({ id: 'WebhookEndpoint', examples: [endpointExample] });
export const endpointWithSecret = endpoint.extend({ secret }).meta({
  id: 'WebhookEndpointWithSecret',
  examples: [{ ...endpointExample, secret: SECRET_EXAMPLE }],
});
export const endpointList = listOf('WebhookEndpointList', endpointResource);

export const deletedEndpoint = z
  .object({ id: z.string(), object: z.literal('webhook_endpoint'), deleted: z.literal(true) })
  .meta({
    id: 'DeletedWebhookEndpoint',
    examples: [{ id: endpointExample.id, object: endpointExample.object, deleted: true }],
  });

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
  .meta({
    id: 'WebhookDelivery',
    examples: [
      {
        id: 'whd_37d19ad4865c838fa3036760',
        object: 'webhook_delivery',
        endpoint_id: endpointExample.id,
        message_id: 'msg_2f6d1c9a7e4b5a3c8d0e1f2a',
        type: 'refund.succeeded',
        refund_id: 'rfd_nbnrw488hqkbrvpm1m9p338zze',
        version: 4,
        status: 'pending',
        attempts: 1,
        last_attempt_at: '2026-03-02T14:05:04.000Z',
        next_attempt_at: '2026-03-02T14:05:09.000Z',
        last_status: 503,
        last_error: 'HTTP_503',
        delivered_at: null,
        created_at: '2026-03-02T14:05:03.120Z',
      },
    ],
  });

export const deliveryList = listOf('WebhookDeliveryList', deliveryResource);
