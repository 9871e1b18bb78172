import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { OpenAPIObject } from '@nestjs/swagger';
import { randomUUID } from 'node:crypto';
import { NEWS_TYPES } from '../src/domain/news.js';
import { noteNews } from '../src/ledger/outbox.js';
import { NOW_MS, openFrontDoor, paymentBody, storeRefund, type FrontDoor } from './setup/front-door.js';

let door: FrontDoor;
let document: OpenAPIObject;
const ajv = new Ajv2020({ strict: false, allErrors: true });
formats.default(ajv);
ajv.addFormat('base64', true);
beforeAll(async () => {
  door = await openFrontDoor();
  document = JSON.parse((await door.call('GET', '/openapi.json', { key: null })).text) as OpenAPIObject;
  ajv.addSchema(document, 'openapi');
});
afterAll(() => door.close());

type Operation = OpenAPIObject['paths'][string]['get'] & object;

type Content = { schema?: unknown; example?: unknown; examples?: Record<string, unknown> };

const operations = (paths: OpenAPIObject['paths'] = document.paths): [string, Operation][] =>
  Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path}`,
      operation as Operation,
    ]),
  );

const contentOf = (body: object | undefined): Record<string, Content> =>
  body && 'content' in body ? (body.content as Record<string, Content>) : {};

const resolved = (value: unknown): Record<string, unknown> => {
  const { $ref, ...own } = value as Record<string, unknown>;
  if (typeof $ref !== 'string') return own;
  return $ref
    .slice(2)
    .split('/')
    .reduce(
      (at, name) => (at[name] ?? {}) as Record<string, unknown>,
      document as unknown as Record<string, unknown>,
    );
};

/** Of the body itself, else of its schema or of one that this is made of. */
const examplesOf = ({ schema, example, examples }: Content): unknown[] => {
  if (example !== undefined) return [example];
  if (examples) return Object.values(examples).map((each) => resolved(each)['value']);
  const parts = [schema, ...((schema as { allOf?: unknown[] }).allOf ?? [])].map(resolved);
  return parts.flatMap((part) =>
    'example' in part ? [part['example']] : ((part['examples'] ?? []) as unknown[]),
  );
};

const expectFits = (name: string, schema: unknown, value: unknown) => {
  const validate = ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"openapi#/')) as object);
  expect([name, validate(value), validate.errors]).toEqual([name, true, null]);
};

const parametersOf = (operation: Operation | undefined) =>
  (operation?.parameters ?? []).map((parameter) =>
    'name' in parameter ? `${parameter.in} ${parameter.name}` : '',
  );

describe('/openapi.json', () => {
  it('holds every route that exists and none that does not', () => {
    expect(
      operations()
        .map(([name]) => name)
        .sort(),
    ).toEqual([
      'DELETE /v1/webhook-endpoints/{id}',
      'GET /health/live',
      'GET /health/ready',
      'GET /metrics',
      'GET /v1/payments',
      'GET /v1/payments/{id}',
      'GET /v1/payments/{id}/events',
      'GET /v1/providers',
      'GET /v1/reconciliations/{id}',
      'GET /v1/refunds',
      'GET /v1/refunds/{id}',
      'GET /v1/refunds/{id}/events',
      'GET /v1/refunds/{id}/evidence',
      'GET /v1/refunds/{id}/review',
      'GET /v1/webhook-endpoints',
      'GET /v1/webhook-endpoints/{id}',
      'GET /v1/webhook-endpoints/{id}/deliveries',
      'POST /codec/decode',
      'POST /codec/encode',
      'POST /v1/payments',
      'POST /v1/providers/efi/webhook/pix',
      'POST /v1/providers/{provider}/pause',
      'POST /v1/providers/{provider}/resume',
      'POST /v1/providers/{provider}/webhook',
      'POST /v1/reconciliations',
      'POST /v1/refunds',
      'POST /v1/refunds/preview',
      'POST /v1/refunds/{id}/approve',
      'POST /v1/refunds/{id}/cancel',
      'POST /v1/refunds/{id}/extend',
      'POST /v1/refunds/{id}/reject',
      'POST /v1/refunds/{id}/resolve',
      'POST /v1/webhook-endpoints',
      'POST /v1/webhook-endpoints/{id}/deliveries/{delivery_id}/resend',
      'POST /v1/webhook-endpoints/{id}/enable',
      'POST /v1/webhook-endpoints/{id}/ping',
      'POST /v1/webhook-endpoints/{id}/rotate',
    ]);
  });

  it('names each operation once, and every status with its codes', () => {
    const ids = operations().map(([, operation]) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const create = document.paths['/v1/refunds']?.post;
    expect(Object.keys(create?.responses ?? {}).sort()).toEqual(
      [
        '202',
        '400',
        '401',
        '403',
        '404',
        '409',
        '412',
        '413',
        '415',
        '422',
        '429',
        '431',
        '500',
        '503',
      ].sort(),
    );
    expect(create?.responses['409']).toMatchObject({
      content: {
        'application/problem+json': {
          schema: {
            allOf: [
              {},
              { properties: { code: { enum: ['idempotency_in_progress', 'duplicate_reference'] } } },
            ],
          },
        },
      },
    });
    expect(create?.responses['202']).toHaveProperty('headers.Location');
    expect(parametersOf(create)).toContain('header Idempotency-Key');
    expect(create?.requestBody).toMatchObject({
      content: { 'application/json': { schema: { $ref: '#/components/schemas/RefundRequest' } } },
    });
  });

  it('says which routes need a key', () => {
    const open = operations()
      .filter(([, operation]) => !operation.security)
      .map(([name]) => name);
    expect(open).toEqual(
      expect.arrayContaining(['GET /health/live', 'GET /metrics', 'POST /v1/providers/{provider}/webhook']),
    );
    expect(open).toHaveLength(5);
  });

  it('names the query parameters of a list and the providers', () => {
    expect(parametersOf(document.paths['/v1/refunds']?.get)).toEqual(
      expect.arrayContaining(['query status', 'query created[gte]', 'query limit', 'query starting_after']),
    );
    expect(document.components?.schemas?.['Provider']).toMatchObject({
      enum: ['picpay', 'efi', 'braspag', 'fourgeeks', 'pagou'],
    });
  });

  it('resolves every reference', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1]!);
    expect(references.length).toBeGreaterThan(0);
    for (const $ref of references) {
      expect([$ref, Object.keys(resolved({ $ref })).length > 0]).toEqual([$ref, true]);
    }
  });

  it('has an example of every body, and each fits its schema', () => {
    const bodies = [...operations(), ...operations(document.webhooks)].flatMap(([name, operation]) =>
      [operation.requestBody, ...Object.values(operation.responses)].flatMap((body) =>
        Object.entries(contentOf(body)).map(([mediaType, content]) => ({ name, mediaType, content })),
      ),
    );
    expect(bodies.length).toBeGreaterThan(300);
    for (const { name, mediaType, content } of bodies) {
      const examples = examplesOf(content);
      expect([name, mediaType, examples.length > 0]).toEqual([name, mediaType, true]);
      for (const example of examples) expectFits(`${name} ${mediaType}`, content.schema, example);
    }
  });

  it('asks for no body where none is needed', () => {
    const needed = operations()
      .filter(([, { requestBody }]) => requestBody && 'content' in requestBody && requestBody.required)
      .map(([name]) => name);
    expect(needed).toContain('POST /v1/refunds');
    expect(needed).not.toContain('POST /v1/refunds/{id}/cancel');
    expect(needed).not.toContain('POST /v1/webhook-endpoints/{id}/ping');
  });

  it('describes the messages that are really sent', async () => {
    const key = await door.key('admin');
    const { body: payment } = await door.call('POST', '/v1/payments', {
      body: { ...paymentBody, provider_payment_id: randomUUID() },
    });
    await storeRefund(door.db, { id: 'rfd_2', paymentId: payment.id, amountMinor: 1 });
    const body = { url: 'https://203.0.114.7/hooks' };
    const { body: endpoint } = await door.call('POST', '/v1/webhook-endpoints', { key, body });
    await door.call('POST', `/v1/webhook-endpoints/${endpoint.id}/ping`, { key });
    await door.db.transaction().execute((trx) => noteNews(trx, 'rfd_2', NEWS_TYPES, NOW_MS));
    const messages = await door.db.selectFrom('webhook_messages').select(['type', 'body']).execute();
    expect(messages.map(({ type }) => type).sort()).toEqual(Object.keys(document.webhooks ?? {}).sort());
    for (const { type, body: sent } of messages) {
      const content = contentOf(document.webhooks?.[type]?.post?.requestBody)['application/json'];
      expectFits(type, content?.schema, JSON.parse(sent));
    }
  });

  it('describes what is really answered', async () => {
    const expectValid = (name: string, value: unknown) =>
      expectFits(name, { $ref: `#/components/schemas/${name}` }, value);
    const payment = await door.call('POST', '/v1/payments', { body: paymentBody });
    await storeRefund(door.db, { id: 'rfd_1', paymentId: payment.body.id, amountMinor: 1 });
    const preview = { payment_id: payment.body.id, reason: 'duplicate' };
    expectValid('PaymentRegistration', paymentBody);
    expectValid('Payment', payment.body);
    expectValid('RefundRequest', preview);
    expectValid('Refund', (await door.call('GET', '/v1/refunds/rfd_1')).body);
    expectValid('RefundList', (await door.call('GET', '/v1/refunds')).body);
    expectValid('EventList', (await door.call('GET', `/v1/payments/${payment.body.id}/events`)).body);
    expectValid('RefundPreview', (await door.call('POST', '/v1/refunds/preview', { body: preview })).body);
    expectValid('ProviderStateList', (await door.call('GET', '/v1/providers')).body);
    const operator = await door.key('operator');
    const run = await door.call('POST', '/v1/reconciliations', { key: operator });
    expectValid('Reconciliation', run.body);
    expectValid('Review', (await door.call('GET', '/v1/refunds/rfd_1/review')).body);
    expectValid('Problem', (await door.call('GET', '/v1/refunds?limit=0')).body);
    expectValid('Health', (await door.call('GET', '/health/ready')).body);
  });
});

describe('/docs', () => {
  it('serves Swagger UI from here alone', async () => {
    const page = await door.call('GET', '/docs', { key: null });
    expect(page.status).toBe(200);
    const links = [...page.text.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((match) => match[1]!);
    expect(links.length).toBe(3);
    for (const link of links) expect((await door.call('GET', link, { key: null })).status).toBe(200);
    expect(page.text).not.toMatch(/https?:/);
  });
});
