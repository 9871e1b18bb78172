import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NOW_MS, openFrontDoor, paymentBody, storeRefund, type FrontDoor } from './setup/front-door.js';

const HOUR_MS = 3_600_000;
let door: FrontDoor;
let paymentId: string;
beforeAll(async () => {
  door = await openFrontDoor();
  paymentId = (await door.call('POST', '/v1/payments', { body: { ...paymentBody, provider: 'braspag' } }))
    .body.id;
  // Two of one instant: their ids decide.
  for (const [id, hours] of [
    ['rfd_1', 1],
    ['rfd_2', 2],
    ['rfd_3', 3],
    ['rfd_4', 3],
    ['rfd_5', 5],
  ] as const) {
    await storeRefund(door.db, {
      id,
      paymentId,
      amountMinor: 1,
      reference: `ref-${id}`,
      createdAtMs: NOW_MS + hours * HOUR_MS,
    });
  }
});
afterAll(() => door.close());

const ids = async (query: string) => {
  const answer = await door.call('GET', `/v1/refunds?${query}`);
  expect(answer.body.object).toBe('list');
  return [answer.body.data.map((refund) => refund.id.slice(4)).join(''), answer.body.has_more];
};

describe('GET /v1/refunds', () => {
  it('walks from the newest to the oldest and back, missing and repeating nothing', async () => {
    expect(await ids('')).toEqual(['54321', false]);
    expect(await ids('limit=2')).toEqual(['54', true]);
    expect(await ids('limit=2&starting_after=rfd_4')).toEqual(['32', true]);
    expect(await ids('limit=2&starting_after=rfd_2')).toEqual(['1', false]);
    expect(await ids('limit=2&ending_before=rfd_1')).toEqual(['32', true]);
    expect(await ids('limit=2&ending_before=rfd_4')).toEqual(['5', false]);
  });

  it('filters', async () => {
    expect(await ids('status=pending&provider=braspag')).toEqual(['54321', false]);
    expect(await ids('status=succeeded')).toEqual(['', false]);
    expect(await ids('reference=ref-rfd_3')).toEqual(['3', false]);
    expect(await ids(`payment_id=${paymentId}&limit=1`)).toEqual(['5', true]);
    expect(await ids('payment_id=pay_other')).toEqual(['', false]);
    expect(await ids('created[gte]=2026-03-10T14:00:00Z&created[lt]=2026-03-10T17:00:00Z')).toEqual([
      '432',
      false,
    ]);
    expect(await ids('provider=pagou')).toEqual(['', false]);
  });
});

describe('GET /v1/payments', () => {
  it('pages like every list', async () => {
    const { body } = await door.call('POST', '/v1/payments', { body: { ...paymentBody, amount: 1 } });
    const all = await door.call('GET', '/v1/payments');
    expect(all.body.data).toHaveLength(2);
    const first = await door.call('GET', '/v1/payments?limit=1');
    expect(first.body.has_more).toBe(true);
    const second = await door.call(
      'GET',
      `/v1/payments?limit=1&starting_after=${first.body.data[0]?.id ?? ''}`,
    );
    expect([second.body.data.length, second.body.has_more]).toEqual([1, false]);
    const back = await door.call('GET', `/v1/payments?ending_before=${second.body.data[0]?.id ?? ''}`);
    expect(back.body.data).toEqual(first.body.data);
    expect((await door.call('GET', '/v1/payments?provider=pagou')).body.data[0]?.id).toBe(body.id);
  });
});

describe('GET …/events', () => {
  it('tells the trail oldest first, with its hashes, in pages', async () => {
    const path = `/v1/payments/${paymentId}/events`;
    const all = await door.call('GET', path);
    expect(all.body.data).toHaveLength(1);
    expect(all.body.data[0]).toMatchObject({
      object: 'event',
      id: expect.stringMatching(/^evt_\d+$/),
      type: 'payment_registered',
      origin: 'service',
      actor: 'ana',
      payment_id: paymentId,
      refund_id: null,
      sequence: 1,
      previous_hash: '',
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      occurred_at: '2026-03-10T12:00:00.000Z',
    });
    expect(
      (await door.call('GET', `${path}?starting_after=${all.body.data[0]?.id ?? ''}`)).body.data,
    ).toEqual([]);
    expect((await door.call('GET', `${path}?ending_before=${all.body.data[0]?.id ?? ''}`)).body.data).toEqual(
      [],
    );
    expect((await door.call('GET', `${path}?starting_after=evt_999999`)).status).toBe(400);
    expect((await door.call('GET', '/v1/refunds/rfd_1/events')).body).toEqual({
      object: 'list',
      data: [],
      has_more: false,
    });
  });
});
