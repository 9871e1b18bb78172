import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NOW_MS, openFrontDoor, paymentBody, storeRefund, type FrontDoor } from './setup/front-door.js';

let door: FrontDoor;
let operator: string;
let viewer: string;
beforeAll(async () => {
  door = await openFrontDoor({ off: ['efi'] });
  [operator, viewer] = await Promise.all([door.key('operator'), door.key('viewer')]);
});
afterAll(() => door.close());

const stateOf = async (provider: string) => {
  const { status, body } = await door.call('GET', '/v1/providers', { key: viewer });
  expect([status, body.object, body.has_more]).toEqual([200, 'list', false]);
  return body.data.find((each) => (each as unknown as { provider: string }).provider === provider);
};
const eventsOf = (provider: string) =>
  door.db
    .selectFrom('provider_events')
    .select(['type', 'actor', 'reason', 'request_id'])
    .where('provider', '=', provider)
    .orderBy('id')
    .execute();

const untroubled = { state: 'closed', failures: 0, since: null, next_probe_at: null, held_until: null };

describe('GET /v1/providers', () => {
  it('200 shows every provider, those that are off too', async () => {
    expect(await stateOf('pagou')).toEqual({
      object: 'provider',
      provider: 'pagou',
      on: true,
      breaker: 'closed',
      breakers: { read: untroubled, submit: untroubled },
      paused: false,
      paused_at: null,
      paused_by: null,
      paused_reason: null,
      waiting_refunds: 0,
      waiting_amount: 0,
      currency: null,
      waiting: [],
    });
    expect(await stateOf('efi')).toMatchObject({ on: false });
  });

  it('200 counts what waits unsent, and not what is under way', async () => {
    const payment = await door.call('POST', '/v1/payments', { body: paymentBody });
    for (const [id, reason] of [
      ['rfd_1', 'provider_unavailable'],
      ['rfd_2', 'insufficient_balance'],
      ['rfd_3', 'provider_processing'],
    ] as const) {
      await storeRefund(door.db, { id, paymentId: payment.body.id, amountMinor: 700 });
      await door.db.updateTable('refunds').set({ pending_reason: reason }).where('id', '=', id).execute();
    }
    expect(await stateOf('pagou')).toMatchObject({
      waiting_refunds: 2,
      waiting_amount: 1_400,
      currency: 'BRL',
      waiting: [{ currency: 'BRL', refunds: 2, amount: 1_400 }],
    });
  });

  it('200 shows the worse breaker of reads and submits', async () => {
    const at = (ms: number) => new Date(NOW_MS + ms);
    const open = { failures: 5, failed_probes: 0, hold_until: null, closed_at: null };
    await door.db
      .insertInto('breakers')
      .values([
        { ...open, provider: 'picpay', operation: 'read', opened_at: at(-2_000), probe_at: at(-1_000) },
        { ...open, provider: 'braspag', operation: 'read', opened_at: at(-2_000), probe_at: at(-1_000) },
        { ...open, provider: 'braspag', operation: 'submit', opened_at: at(-2_000), probe_at: at(1_000) },
      ])
      .execute();
    expect(await stateOf('picpay')).toMatchObject({ breaker: 'half_open' });
    expect(await stateOf('braspag')).toMatchObject({
      breaker: 'open',
      breakers: {
        read: { state: 'half_open' },
        submit: {
          state: 'open',
          failures: 5,
          since: at(-2_000).toISOString(),
          next_probe_at: at(1_000).toISOString(),
        },
      },
    });
  });

  it('400 for a query, 401 without a key', async () => {
    expect((await door.call('GET', '/v1/providers?x=1')).status).toBe(400);
    expect((await door.call('GET', '/v1/providers', { key: null })).status).toBe(401);
  });
});

describe('POST /v1/providers/{provider}/pause and /resume', () => {
  it('200 pauses once, with who and why, and resumes once', async () => {
    const headers = { 'x-request-id': 'req-pause' };
    const paused = await door.call('POST', '/v1/providers/fourgeeks/pause', {
      key: operator,
      headers,
      body: { reason: 'odd amounts' },
    });
    expect(paused.status).toBe(200);
    expect(paused.body).toMatchObject({
      provider: 'fourgeeks',
      paused: true,
      paused_at: new Date(NOW_MS).toISOString(),
      paused_by: 'ana',
      paused_reason: 'odd amounts',
    });
    const again = await door.call('POST', '/v1/providers/fourgeeks/pause', { key: operator });
    expect([again.status, again.body]).toEqual([200, paused.body]);
    expect(await stateOf('fourgeeks')).toEqual(paused.body);

    for (const _ of [1, 2]) {
      const resumed = await door.call('POST', '/v1/providers/fourgeeks/resume', { key: operator, body: {} });
      expect([resumed.status, resumed.body]).toMatchObject([200, { paused: false, paused_by: null }]);
    }
    expect(await eventsOf('fourgeeks')).toEqual([
      { type: 'provider_paused', actor: 'ana', reason: 'odd amounts', request_id: 'req-pause' },
      { type: 'provider_resumed', actor: 'ana', reason: '', request_id: expect.any(String) },
    ]);
  });

  it('403 for whoever is no operator, and nothing changes', async () => {
    for (const role of ['viewer', 'requester', 'approver', 'admin'] as const) {
      const key = await door.key(role);
      for (const path of ['pause', 'resume']) {
        const { status, body } = await door.call('POST', `/v1/providers/pagou/${path}`, { key });
        expect([status, body.code]).toEqual([403, 'forbidden']);
      }
    }
    expect(await eventsOf('pagou')).toEqual([]);
  });

  it('404 for a provider that does not exist, 400 for members that do not', async () => {
    const unknown = await door.call('POST', '/v1/providers/stripe/pause', { key: operator });
    expect([unknown.status, unknown.body.code]).toEqual([404, 'not_found']);
    for (const body of [{ because: 'x' }, { reason: 1 }, '"x"']) {
      const answer = await door.call('POST', '/v1/providers/pagou/pause', { key: operator, body });
      expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    }
    expect(await eventsOf('pagou')).toEqual([]);
  });
});
