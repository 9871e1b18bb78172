import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import { createApiKey } from '../src/ledger/keys.js';
import { eventually, until } from './setup/eventually.js';
import { NOW_MS, openFrontDoor, type Answer, type FrontDoor } from './setup/front-door.js';

const BURST = 12;
const LIMITED = { rateLimit: { perSecond: 1, burst: BURST } };

let door: FrontDoor;
let otherDoor: FrontDoor;
beforeAll(async () => {
  door = await openFrontDoor({ config: LIMITED });
  otherDoor = await openFrontDoor({ db: door.db, config: LIMITED });
});
afterAll(async () => {
  await otherDoor.close();
  await door.close();
});

const keyOf = async (actor: string) =>
  (await createApiKey(door.db, { actor, roles: ['viewer'], nowMs: NOW_MS })).key;
const ask = (at: FrontDoor, key: string | null, path = '/v1/refunds') => at.call('GET', path, { key });
const askMany = (times: number, one: (index: number) => Promise<Answer>) =>
  Promise.all(Array.from({ length: times }, (_, index) => one(index)));
const count = (answers: readonly Answer[], status: number) =>
  answers.filter((answer) => answer.status === status).length;

describe('the limit of an actor', () => {
  it('holds over all API processes and over all keys of the actor', async () => {
    const keys = [await keyOf('ana'), await keyOf('ana')];
    const answers = await askMany(BURST + 8, (index) =>
      ask(index % 2 ? door : otherDoor, keys[index % 3 ? 0 : 1]!),
    );
    expect([count(answers, 200), count(answers, 429)]).toEqual([BURST, 8]);
    const refused = answers.find(({ status }) => status === 429)!;
    expect(refused.body).toMatchObject({ code: 'rate_limited', retryable: true });
    const waitSeconds = Number(refused.headers['retry-after']);
    expect(waitSeconds).toBeGreaterThan(0);
    expect(waitSeconds).toBeLessThanOrEqual(BURST);
    expect(refused.headers['ratelimit']).toBe(`"actor";r=0;t=${waitSeconds}`);
    expect((await ask(door, await keyOf('bea'))).status).toBe(200);
  });

  it('is told with every answer, with refusals too', async () => {
    const key = await keyOf('cleo');
    const first = await ask(door, key);
    expect(first.headers['ratelimit-policy']).toBe(`"actor";q=${BURST};w=${BURST}`);
    expect(first.headers['ratelimit']).toMatch(new RegExp(`^"actor";r=${BURST - 1};t=\\d+$`));
    const forbidden = await door.call('POST', '/v1/refunds', { key, body: {} });
    expect([forbidden.status, forbidden.headers['ratelimit']]).toEqual([
      403,
      expect.stringMatching(`^"actor";r=${BURST - 2};`),
    ]);
  });

  it('is whole again once the window is over', async () => {
    const quick = await openFrontDoor({ db: door.db, config: { rateLimit: { perSecond: 5, burst: 5 } } });
    const key = await keyOf('dora');
    const answers = await askMany(6, () => ask(quick, key));
    expect(count(answers, 429)).toBe(1);
    const later = await eventually(
      () => ask(quick, key),
      ({ status }) => status === 200,
    );
    expect(later.headers['ratelimit']).toMatch('"actor";r=4;');
    await quick.close();
  });

  it('bounds the refusals that are written down', async () => {
    const key = await keyOf('eve');
    const answers = await askMany(BURST + 5, () =>
      door.call('POST', '/v1/refunds/rfd_none/approve', { key, body: { content_hash: 'x' } }),
    );
    expect([count(answers, 403), count(answers, 429)]).toEqual([BURST, 5]);
  });

  it('counts neither health, metrics, the document nor the webhooks of providers', async () => {
    const paths = ['/health/live', '/metrics', '/openapi.json'];
    const answers = await askMany(BURST * 6, (index) => ask(door, null, paths[index % 3]));
    expect(answers.every(({ status, headers }) => status === 200 && !('ratelimit' in headers))).toBe(true);
    const hooks = await askMany(BURST * 2, () =>
      door.call('POST', '/v1/providers/pagou/webhook', { key: null, body: 'x' }),
    );
    expect(count(hooks, 401)).toBe(BURST * 2);
  });

  it('lets nobody through uncounted', async () => {
    const own = await openFrontDoor();
    await own.db.transaction().execute(async (trx) => {
      await sql`LOCK TABLE rate_limits`.execute(trx);
      const asked = ask(own, await own.key('viewer'));
      await until(async () => (await waitingForLocks(own)) > 0);
      await sql`SELECT pg_cancel_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(trx);
      const { status, body } = await asked;
      expect([status, body.code]).toEqual([503, 'engine_unavailable']);
    });
    await own.close();
  });
});

describe('refused credentials', () => {
  it('are limited by address, and a valid key from there still opens', async () => {
    const own = await openFrontDoor();
    const wrong = (index: number) => ask(own, index % 2 ? `est_${'a'.repeat(43)}` : null);
    const answers = await askMany(130, wrong);
    expect([count(answers, 401), count(answers, 429)]).toEqual([100, 30]);
    expect(answers.at(-1)!.headers['ratelimit-policy']).toBe('"address";q=100;w=60');
    expect((await own.call('GET', '/v1/refunds')).status).toBe(200);
    await own.close();
  });
});

async function waitingForLocks({ db }: FrontDoor): Promise<number> {
  const { rows } = await sql`SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(db);
  return rows.length;
}
