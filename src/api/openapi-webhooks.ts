import type { OpenAPIObject } from '@nestjs/swagger';
import { NEWS_TYPES, PING_TYPE, type NewsType } from '../domain/news.js';
import { newsExample, pingExample, refundNews, webhookPing } from './webhook-news.schema.js';
import { jsonSchemaOf } from './zod-json-schema.js';

type Webhooks = NonNullable<OpenAPIObject['webhooks']>;
type Schemas = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>;

/** What is sent to the endpoints of others: one webhook of the document for each type of message. */
export function newsWebhooks(): { readonly webhooks: Webhooks; readonly schemas: Schemas } {
  return {
    webhooks: Object.fromEntries(
      ([...NEWS_TYPES, PING_TYPE] as const).map((type) => [type, webhookOf(type)]),
    ),
    schemas: { ...componentsOf(refundNews), ...componentsOf(webhookPing) },
  };
}

function webhookOf(type: NewsType | typeof PING_TYPE): Webhooks[string] {
  const name = type === PING_TYPE ? 'WebhookPing' : 'RefundNews';
  return {
    post: {
      operationId: type,
      summary:
        type === PING_TYPE ? 'A ping, sent by hand' : `\`${type}\`: a refund, as it stands after a change`,
      description:
        'Sent as Standard Webhooks say, at least once; `data.version` only grows. docs/outbound-webhooks.md tells how to verify it.',
      parameters: HEADERS,
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: {
              allOf: [
                { $ref: `#/components/schemas/${name}` },
                {
                  type: 'object',
                  properties: { type: { type: 'string', enum: [type] } },
                  required: ['type'],
                },
              ],
            },
            example: type === PING_TYPE ? pingExample : newsExample(type),
          },
        },
      },
      responses: {
        '2XX': { description: 'Received: it is not sent again. The body is not read.' },
        '410': { description: 'The endpoint is gone: it is disabled, and nothing is sent to it any more.' },
        default: {
          description: 'Not received: it is sent again, for three days. Redirects are not followed.',
        },
      },
    },
  };
}

const HEADERS = [
  header('webhook-id', "The message's id, the same at every attempt.", 'msg_2f6d1c9a7e4b5a3c8d0e1f2a'),
  header('webhook-timestamp', 'Of this attempt, in seconds since 1970.', '1772460301'),
  header(
    'webhook-signature',
    '`v1,` and a signature in base64; two of them, with a blank between, while the secret is rotated.',
    'v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=',
  ),
];

function header(name: string, description: string, example: string) {
  return { name, in: 'header' as const, required: true, description, schema: { type: 'string' }, example };
}

function componentsOf(schema: typeof refundNews | typeof webhookPing): Schemas {
  const text = JSON.stringify(jsonSchemaOf(schema, 'output').components);
  return JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/')) as Schemas;
}
