import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { seal, unseal } from '../src/signing/seal.js';
import { disableEndpoint } from '../src/ledger/webhook-endpoints.js';
import { openFrontDoor, NOW_MS, type FrontDoor } from './setup/front-door.js';

const PUBLIC_URL = 'https://93.184.215.14/hooks';
const KEYS = { keys: [{ id: 'k1', secret: Buffer.alloc(32, 7) }] };

let door: FrontDoor;
let admin: string;
beforeAll(async () => {
  door = await openFrontDoor({ config: { payloadKeys: KEYS } });
  admin = await door.key('admin');
});
afterAll(() => door.close());

const post = (path: string, body?: unknown, key = admin) =>
  door.call('POST', `/v1/webhook-endpoints${path}`, { key, ...(body === undefined ? {} : { body }) });
const get = (path: string) => door.call('GET', `/v1/webhook-endpoints${path}`, { key: admin });

async function created(): Promise<string> {
  const { status, body } = await post('', { url: PUBLIC_URL });
  expect(status).toBe(201);
  return body.id;
}

describe('/v1/webhook-endpoints', () => {
  it('shows the secret once, and keeps it sealed', async () => {
    const answer = await post('', { url: PUBLIC_URL, types: ['refund.succeeded', 'refund.failed'] });
    expect(answer.status).toBe(201);
    expect(answer.headers['location']).toBe(`/v1/webhook-endpoints/${answer.body.id}`);
    const { secret } = JSON.parse(answer.text) as { secret: string };
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(Buffer.from(secret.slice(6), 'base64')).toHaveLength(32);

    const shown = await get(`/${answer.body.id}`);
    expect(shown.body).toEqual({
      id: answer.body.id,
      object: 'webhook_endpoint',
      url: PUBLIC_URL,
      types: ['refund.succeeded', 'refund.failed'],
      status: 'active',
      disabled_reason: null,
      created_by: 'ana',
      created_at: new Date(NOW_MS).toISOString(),
      updated_at: new Date(NOW_MS).toISOString(),
    });
    const [stored] = (
      await door.db
        .selectFrom('webhook_endpoints')
        .select('secrets')
        .where('id', '=', answer.body.id)
        .executeTakeFirstOrThrow()
    ).secrets;
    expect(stored?.sealed).not.toContain(secret.slice(6));
    expect(unseal(stored?.sealed ?? '', KEYS)).toBe(secret);
    expect((await get('')).text).not.toContain('whsec_');
  });

  it.each([
    'https://127.0.0.1/',
    'https://localhost/',
    'https://2130706433/',
    'https://169.254.169.254/latest/meta-data',
    'https://[::ffff:169.254.169.254]/',
    'https://[64:ff9b::a9fe:a9fe]/',
    'https://[fd00:ec2::254]/',
    'http://93.184.215.14/',
    'https://user:word@93.184.215.14/',
    'no url',
  ])('refuses %s', async (url) => {
    const { status, body } = await post('', { url });
    expect([status, body.errors[0]?.pointer]).toEqual([400, '/url']);
  });

  it.each([
    { types: [] },
    { types: ['refund.created', 'refund.created'] },
    { types: ['refund.other'] },
    { secret: 's' },
  ])('refuses %j', async (members) => {
    expect((await post('', { url: PUBLIC_URL, ...members })).status).toBe(400);
  });

  it('is for admins alone', async () => {
    const id = await created();
    for (const role of ['viewer', 'requester', 'approver', 'operator'] as const) {
      const key = await door.key(role);
      const asked = await Promise.all([
        post('', { url: PUBLIC_URL }, key),
        door.call('GET', '/v1/webhook-endpoints', { key }),
        door.call('GET', `/v1/webhook-endpoints/${id}`, { key }),
        door.call('GET', `/v1/webhook-endpoints/${id}/deliveries`, { key }),
        door.call('DELETE', `/v1/webhook-endpoints/${id}`, { key }),
        post(`/${id}/ping`, undefined, key),
        post(`/${id}/rotate`, undefined, key),
        post(`/${id}/enable`, undefined, key),
        post(`/${id}/deliveries/whd_1/resend`, undefined, key),
      ]);
      expect(asked.map(({ status }) => status)).toEqual(asked.map(() => 403));
    }
  });

  it('says that PAYLOAD_KEYS is not set where no secret can be kept', async () => {
    const bare = await openFrontDoor({ config: { payloadKeys: null } });
    const key = await bare.key('admin');
    const answer = await bare.call('POST', '/v1/webhook-endpoints', { key, body: { url: PUBLIC_URL } });
    expect(answer.status).toBe(400);
    expect(answer.text).toContain('PAYLOAD_KEYS is not set');
    await bare.close();
  });

  it('takes http and private addresses where that is allowed', async () => {
    const open = await openFrontDoor({ config: { webhookAllowPrivate: true } });
    const key = await open.key('admin');
    const body = { url: 'http://127.0.0.1:9/in' };
    expect((await open.call('POST', '/v1/webhook-endpoints', { key, body })).status).toBe(201);
    await open.close();
  });

  it('pings, lists and sends again under the same message id', async () => {
    const id = await created();
    const pinged = await post(`/${id}/ping`);
    expect(pinged.status).toBe(202);
    expect(pinged.body).toMatchObject({
      ...{ object: 'webhook_delivery', type: 'webhook.ping', status: 'pending' },
      ...{ endpoint_id: id, refund_id: null, version: null, attempts: 0 },
    });
    const again = await post(`/${id}/deliveries/${pinged.body.id}/resend`);
    expect(again.status).toBe(202);
    expect(again.body).toEqual({ ...pinged.body, next_attempt_at: new Date(NOW_MS).toISOString() });
    const list = await get(`/${id}/deliveries`);
    expect(list.body).toMatchObject({ object: 'list', data: [again.body], has_more: false });
    const other = await created();
    expect((await post(`/${other}/deliveries/${pinged.body.id}/resend`)).status).toBe(404);
  });

  it('sends nothing to one that is disabled, until somebody enables it', async () => {
    const id = await created();
    const pinged = await post(`/${id}/ping`);
    await door.db.transaction().execute((trx) => disableEndpoint(trx, id, 'It answered 410 Gone.', NOW_MS));
    for (const path of [`/${id}/ping`, `/${id}/deliveries/${pinged.body.id}/resend`]) {
      const { status, body } = await post(path);
      expect([status, body.code]).toEqual([409, 'endpoint_disabled']);
    }
    expect((await get(`/${id}`)).body).toMatchObject({ status: 'disabled' });
    const enabled = await post(`/${id}/enable`);
    expect(enabled).toMatchObject({ status: 200, body: { id, status: 'active', disabled_reason: null } });
    expect((await post(`/${id}/enable`)).body).toEqual(enabled.body);
    expect((await post(`/${id}/deliveries/${pinged.body.id}/resend`)).status).toBe(202);
    expect((await post('/whe_none/enable')).status).toBe(404);
  });

  it('rotates: the new secret is shown once, the one before it lasts a day', async () => {
    const id = await created();
    const rotated = await post(`/${id}/rotate`);
    expect(rotated.status).toBe(200);
    const { secret } = JSON.parse(rotated.text) as { secret: string };
    const { secrets } = await door.db
      .selectFrom('webhook_endpoints')
      .select('secrets')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    expect(secrets.map(({ until }) => until)).toEqual([null, new Date(NOW_MS + 86_400_000).toISOString()]);
    expect(unseal(secrets[0]?.sealed ?? seal('', KEYS), KEYS)).toBe(secret);
    expect((await post('/whe_none/rotate')).status).toBe(404);
  });

  it('deletes', async () => {
    const id = await created();
    await post(`/${id}/ping`);
    const gone = await door.call('DELETE', `/v1/webhook-endpoints/${id}`, { key: admin });
    expect([gone.status, gone.body]).toEqual([200, { id, object: 'webhook_endpoint', deleted: true }]);
    const statuses = await Promise.all([
      get(`/${id}`),
      get(`/${id}/deliveries`),
      post(`/${id}/ping`),
      door.call('DELETE', `/v1/webhook-endpoints/${id}`, { key: admin }),
    ]);
    expect(statuses.map(({ status }) => status)).toEqual([404, 404, 404, 404]);
  });
});
