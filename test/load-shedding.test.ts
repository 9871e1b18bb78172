import { connect, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fastify, { type FastifyInstance } from 'fastify';
import { shedLoad } from '../src/api/load-shedding.js';
import { openDatabase } from '../src/ledger/database.js';
import { createApiKey } from '../src/ledger/keys.js';
import { eventually, until } from './setup/eventually.js';
import { NOW_MS, openFrontDoor } from './setup/front-door.js';
import { createTestDatabase } from './setup/real-parts.js';
import { startRelay } from './setup/relay.js';

describe('without PostgreSQL', () => {
  it('a refund is 503 before the engine is asked, and wrong credentials are still 401', async () => {
    const away = openDatabase('postgres://nobody@127.0.0.1:1/none');
    const lost = await openFrontDoor({ db: away });
    const body = { payment_id: 'pay_1', reason: 'duplicate' };
    const answer = await lost.call('POST', '/v1/refunds', { body, headers: { 'idempotency-key': 'k' } });
    expect([answer.status, answer.body.code, lost.engine.asked]).toEqual([503, 'engine_unavailable', []]);
    expect((await lost.call('GET', '/v1/refunds', { key: 'no-key' })).status).toBe(401);
    await lost.close();
    await away.destroy();
  });
});

describe('while PostgreSQL is silent', () => {
  it('few wait, all others are 503 at once, and the first answer opens for all', async () => {
    const database = await createTestDatabase();
    const relay = await startRelay(database.url);
    const db = openDatabase(relay.url, { poolMax: 2 });
    const door = await openFrontDoor({ db });
    const { key } = await createApiKey(db, { actor: 'fay', roles: ['viewer'], nowMs: NOW_MS });
    const ask = async () => {
      const beforeMs = performance.now();
      const { status, text } = await door.call('GET', '/v1/refunds', { key });
      return { status, tookMs: performance.now() - beforeMs, wasAsked: !text.includes('is silent') };
    };
    try {
      expect(await ask()).toMatchObject({ status: 200 });
      relay.freeze();
      const early: ReturnType<typeof ask>[] = [];
      let refused = 0;
      const asking = setInterval(() => {
        early.push(ask());
        void early.at(-1)?.then(({ wasAsked }) => (refused += wasAsked ? 0 : 1));
      }, 50);
      await until(async () => refused > 0);
      clearInterval(asking);
      const crowd = await Promise.all(Array.from({ length: 50 }, ask));
      expect(crowd.filter(({ wasAsked }) => wasAsked).length).toBeLessThanOrEqual(5);
      expect(new Set(crowd.map(({ status }) => status))).toEqual(new Set([503]));
      // Those too who came before it was seen, and who hold the connections.
      expect(Math.max(...(await Promise.all(early)).map(({ tookMs }) => tookMs))).toBeLessThan(8_000);
      relay.thaw();
      await eventually(ask, ({ status }) => status === 200);
    } finally {
      await relay.close();
      await door.close();
      await db.destroy();
      await database.drop();
    }
  }, 30_000);
});

describe('too much at once', () => {
  let server: FastifyInstance;
  let release = () => {};
  let gone = 0;
  beforeAll(async () => {
    server = fastify();
    shedLoad(server, { underWayMax: 2, delayMaxMs: 40, lookEveryMs: 100 });
    server.addHook('onRequestAbort', (_request, done) => {
      gone += 1;
      done();
    });
    const released = new Promise<void>((resolve) => (release = resolve));
    server.get('/work', async () => released);
    server.post('/work', async () => 'done');
    server.get('/health/live', async () => 'ok');
    await server.listen({ port: 0, host: '127.0.0.1' });
  });
  afterAll(() => server.close());

  it('is 503 at once, before anything is done, while health still answers', async () => {
    const origin = `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`;
    const get = async (path: string) => (await fetch(origin + path)).status;
    const abort = new AbortController();
    const left = fetch(`${origin}/work`, { signal: abort.signal }).catch(() => 'left');
    const held = get('/work');
    let shed = await fetch(`${origin}/work`);
    for (; shed.status !== 503; shed = await fetch(`${origin}/work`));
    expect([shed.status, shed.headers.get('retry-after'), await shed.json()]).toEqual([
      503,
      '1',
      expect.objectContaining({ code: 'engine_unavailable', retryable: true }),
    ]);
    expect(await get('/health/live')).toBe(200);
    abort.abort();
    expect(await left).toBe('left');
    await until(async () => gone > 0);
    // Its work goes on though nobody waits for it.
    expect(await get('/work')).toBe(503);
    release();
    expect(await held).toBe(200);
    expect(await get('/work')).toBe(200);
  });

  it('is not what bodies are that only trickle in', async () => {
    const { port } = server.server.address() as AddressInfo;
    const trickling = Array.from({ length: 5 }, () => connect(port, '127.0.0.1'));
    const head = 'POST /work HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nx';
    let begun = 0;
    server.server.on('request', () => (begun += 1));
    for (const socket of trickling) socket.write(head);
    await until(async () => begun === trickling.length);
    expect((await fetch(`http://127.0.0.1:${port}/work`)).status).toBe(200);
    for (const socket of trickling) socket.destroy();
  });

  it('is also an event loop that is behind for longer than a moment', async () => {
    const { port } = server.server.address() as AddressInfo;
    const busy = setInterval(() => {
      for (const untilMs = performance.now() + 60; performance.now() < untilMs;);
    });
    const statusOf = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).status;
    await eventually(
      () => statusOf('/work'),
      (status) => status === 503,
    );
    expect(await statusOf('/health/live')).toBe(200);
    clearInterval(busy);
    await eventually(
      () => statusOf('/work'),
      (status) => status === 200,
    );
  });
});
