import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openDatabase } from '../src/ledger/database.js';
import { listApiKeys, revokeApiKey } from '../src/ledger/keys.js';
import { NOW_MS, openFrontDoor, paymentBody, type Answer, type FrontDoor } from './setup/front-door.js';

let door: FrontDoor;
beforeAll(async () => {
  door = await openFrontDoor();
});
afterAll(() => door.close());

const expectProblem = (answer: Answer, status: number, code: string) => {
  expect([answer.status, answer.body.code]).toEqual([status, code]);
  expect(answer.headers['content-type']).toBe('application/problem+json');
  expect(answer.body).toEqual({
    type: `urn:estorno:problem:${code}`,
    title: expect.any(String),
    status,
    detail: expect.any(String),
    instance: expect.stringMatching(/^[^?]*$/),
    code,
    request_id: answer.headers['x-request-id'],
    retryable: expect.any(Boolean),
    errors: expect.any(Array),
  });
};

/** Bytes as they are, because a client library would never send them. */
async function sendRaw(text: string): Promise<string> {
  const socket = connect(Number(new URL(door.origin).port), '127.0.0.1');
  socket.write(text);
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk.toString()));
  await once(socket, 'close');
  return answer;
}

describe('problem+json for everything', () => {
  it('404 not_found for an unknown path, whatever body comes with it', async () => {
    expectProblem(await door.call('GET', '/nothing?hmac=secret'), 404, 'not_found');
    expectProblem(
      await door.call('POST', '/nothing', { body: '<a/>', headers: { 'content-type': 'text/xml' } }),
      404,
      'not_found',
    );
  });

  it('404 for routes that are not built', async () => {
    expectProblem(await door.call('GET', '/v1/settings'), 404, 'not_found');
  });

  it('405 method_not_allowed with Allow for a known path', async () => {
    const answer = await door.call('DELETE', '/v1/refunds');
    expectProblem(answer, 405, 'method_not_allowed');
    expect(answer.headers['allow']).toBe('GET, HEAD, POST');
    expectProblem(await door.call('PUT', '/v1/payments/pay_1', { body: {} }), 405, 'method_not_allowed');
  });

  it('415 unsupported_media_type', async () => {
    const headers = { 'content-type': 'text/plain' };
    expectProblem(
      await door.call('POST', '/v1/payments', { body: '{}', headers }),
      415,
      'unsupported_media_type',
    );
  });

  it.each(['{', '', '"text"', '[]', 'null', '{"__proto__":{}}', '{"constructor":{"prototype":{}}}'])(
    '400 invalid_request for the body %s',
    async (body) => {
      const headers = { 'content-type': 'application/json' };
      expectProblem(await door.call('POST', '/v1/payments', { body, headers }), 400, 'invalid_request');
    },
  );

  it('413 payload_too_large over 64 KiB', async () => {
    const body = { ...paymentBody, reference: 'x'.repeat(64 * 1024) };
    expectProblem(await door.call('POST', '/v1/payments', { body }), 413, 'payload_too_large');
  });

  it('431 headers_too_large', async () => {
    const answer = await sendRaw(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(answer).toContain('application/problem+json');
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({
      code: 'headers_too_large',
      status: 431,
    });
  });

  it('400 for what is no HTTP and for a path that can not be decoded', async () => {
    expect(await sendRaw('nonsense\r\n\r\n')).toContain('"code":"invalid_request"');
    expect(await sendRaw('GET /v1/%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).toContain(
      'invalid_request',
    );
  });

  it('400 for unknown, repeated and wrong query parameters', async () => {
    for (const path of [
      '/v1/refunds?statu=pending',
      '/v1/refunds?limit=1&limit=2',
      '/v1/refunds?limit=0',
      '/v1/refunds?limit=101',
      '/v1/refunds?limit=1.5',
      '/v1/refunds?status=open',
      '/v1/refunds?created[gte]=yesterday',
      '/v1/refunds?starting_after=rfd_none',
      '/v1/refunds?starting_after=a&ending_before=b',
      '/v1/payments?starting_after=pay_none',
      '/v1/refunds/rfd_1?refresh=yes',
      '/v1/payments/pay_1?x=1',
    ]) {
      expectProblem(await door.call('GET', path), 400, 'invalid_request');
    }
  });
});

describe('who may call', () => {
  it.each([
    ['no key', null, {}],
    ['no known key', `est_${'a'.repeat(43)}`, {}],
    ['no key of ours', 'abc', {}],
    ['another scheme', null, { authorization: 'Basic YTpi' }],
  ])('401 unauthenticated for %s, before the body is judged', async (_, key, headers) => {
    const answer = await door.call('POST', '/v1/payments', { key, headers, body: { wrong: 1 } });
    expectProblem(answer, 401, 'unauthenticated');
    expect(answer.headers['www-authenticate']).toBe('Bearer');
  });

  it('401 once a key is revoked', async () => {
    const key = await door.key('viewer');
    const id = (await listApiKeys(door.db)).find(({ roles }) => roles.includes('viewer'))!.id;
    expect((await door.call('GET', '/v1/refunds', { key })).status).toBe(200);
    expect(await revokeApiKey(door.db, id, NOW_MS)).toBe(true);
    expect(await revokeApiKey(door.db, id, NOW_MS)).toBe(false);
    expectProblem(await door.call('GET', '/v1/refunds', { key }), 401, 'unauthenticated');
  });

  it('403 forbidden without the role, though every role reads', async () => {
    for (const role of ['viewer', 'approver', 'operator', 'admin'] as const) {
      const key = await door.key(role);
      expect((await door.call('GET', '/v1/payments', { key })).status).toBe(200);
      for (const path of ['/v1/payments', '/v1/refunds', '/v1/refunds/preview']) {
        expectProblem(await door.call('POST', path, { key, body: {} }), 403, 'forbidden');
      }
    }
  });

  it('stores no key, only its hash', async () => {
    const key = await door.key('viewer');
    const rows = await door.db.selectFrom('api_keys').selectAll().execute();
    expect(JSON.stringify(rows)).not.toContain(key);
  });
});

describe('request ids', () => {
  it("gives the caller's own back, where it is harmless", async () => {
    const own = await door.call('GET', '/health/live', { key: null, headers: { 'x-request-id': 'a-B_1.2' } });
    expect(own.headers['x-request-id']).toBe('a-B_1.2');
    const bad = await door.call('GET', '/health/live', { key: null, headers: { 'x-request-id': 'a b<' } });
    expect(bad.headers['x-request-id']).toMatch(/^req_[0-9a-f]{24}$/);
  });
});

describe('health', () => {
  it('live: 200 always', async () => {
    expect((await door.call('GET', '/health/live', { key: null })).body).toEqual({
      status: 'ok',
      checks: {},
    });
  });

  it('ready: 503 names what is missing', async () => {
    const ready = await door.call('GET', '/health/ready', { key: null });
    expect([ready.status, ready.body.checks]).toEqual([
      200,
      { database: 'ok', migrations: 'ok', engine: 'ok' },
    ]);
    door.engine.isReady = false;
    const deaf = await door.call('GET', '/health/ready', { key: null });
    door.engine.isReady = true;
    expect([deaf.status, deaf.body.checks.engine]).toEqual([503, 'failing']);
  });

  it('ready: 503 for a database that is older than the build, or away', async () => {
    const old = await openFrontDoor({ newestMigration: '9999-later' });
    expect((await old.call('GET', '/health/ready')).body.checks).toMatchObject({
      database: 'ok',
      migrations: 'failing',
    });
    await old.close();
    const away = openDatabase('postgres://nobody@127.0.0.1:1/none');
    const lost = await openFrontDoor({ db: away });
    expect((await lost.call('GET', '/health/ready')).body.checks).toMatchObject({ database: 'failing' });
    const answer = await lost.call('GET', '/v1/refunds');
    expectProblem(answer, 503, 'engine_unavailable');
    expect((await lost.call('GET', '/health/live')).status).toBe(200);
    await lost.close();
    await away.destroy();
  });
});
