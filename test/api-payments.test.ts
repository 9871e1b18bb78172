import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { unseal } from '../src/signing/seal.js';
import { frontDoorKeys } from './setup/front-door-keys.js';
import { openFrontDoor, paymentBody, PIX_ID, storeRefund, type FrontDoor } from './setup/front-door.js';

let door: FrontDoor;
beforeAll(async () => {
  door = await openFrontDoor({ off: ['efi'] });
});
afterAll(() => door.close());

let serial = 0;
let uuid: string;
beforeEach(() => {
  serial += 1;
  uuid = PIX_ID.slice(0, -4) + String(serial).padStart(4, '0');
});

const register = (changes: Record<string, unknown> = {}) =>
  door.call('POST', '/v1/payments', { body: { ...paymentBody, provider_payment_id: uuid, ...changes } });

describe('POST /v1/payments', () => {
  it('registers once: 201 with its Location, 200 for the same facts in another spelling', async () => {
    const first = await register();
    expect(first.status).toBe(201);
    expect(first.headers['location']).toBe(`/v1/payments/${first.body.id}`);
    expect(first.body).toMatchObject({
      object: 'payment',
      provider_payment_id: uuid,
      method: 'pix',
      refundable_amount: 10_000,
      amount_refunded: 0,
      refund_deadline: '2026-06-01T03:00:00.000Z',
    });
    const again = await register({
      provider_payment_id: uuid.toUpperCase(),
      paid_at: '2026-03-02T11:05:00-03:00',
    });
    expect([again.status, again.body]).toEqual([200, first.body]);
  });

  it('agrees on one payment when many register it at once', async () => {
    const answers = await Promise.all([1, 2, 3, 4, 5, 6].map(() => register()));
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 200, 200, 200, 200, 201]);
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1);
    const trail = await door.call('GET', `/v1/payments/${answers[0]!.body.id}/events`);
    expect(trail.body.data.map((event) => event.type)).toEqual(['payment_registered']);
  });

  it('409 payment_conflict names the facts that differ', async () => {
    await register();
    const other = await register({ amount: 9_999, metadata: { a: 'b' } });
    expect([other.status, other.body.code]).toEqual([409, 'payment_conflict']);
    expect(other.body.errors.map((error) => error.pointer)).toEqual(['/amount', '/metadata']);
  });

  it('registers for a provider that is off', async () => {
    const answer = await register({ provider: 'efi', provider_payment_id: `urn:efi:${uuid}` });
    expect(answer.status).toBe(201);
  });

  it.each([
    ['an amount of 0', { amount: 0 }, '/amount'],
    ['a negative amount', { amount: -1 }, '/amount'],
    ['a fraction', { amount: 1.5 }, '/amount'],
    ['an amount as text', { amount: '100' }, '/amount'],
    ['an amount beyond the bound', { amount: 1_000_000_000_000 }, '/amount'],
    ['a currency without two decimals', { currency: 'JPY' }, '/currency'],
    ['an unknown provider', { provider: 'stripe' }, '/provider'],
    ['an id that the provider can not have', { provider_payment_id: 'no/uuid' }, '/provider_payment_id'],
    ['a method that the provider lacks', { method: 'card' }, '/method'],
    ['an instant without a zone', { paid_at: '2026-03-02T14:05:00' }, '/paid_at'],
    ['a day that does not exist', { paid_at: '2026-02-30T14:05:00Z' }, '/paid_at'],
    ['an instant in the future', { paid_at: '2026-03-10T12:05:01Z' }, '/paid_at'],
    ['an unknown member', { amout: 1 }, '/amout'],
    ['a NUL', { reference: 'a\u0000b' }, '/reference'],
    ['half a surrogate pair', { reference: '\ud800' }, '/reference'],
    ['metadata that is no text', { metadata: { a: 1 } }, '/metadata/a'],
    ['a reference that is too long', { reference: 'x'.repeat(129) }, '/reference'],
    ["PicPay's reference elsewhere", { provider_payment_reference: 'r' }, '/provider_payment_reference'],
    [
      "PicPay's credentials elsewhere",
      { provider_credentials: { refresh_token: 't' } },
      '/provider_credentials',
    ],
  ])('400 invalid_request for %s', async (_, changes, pointer) => {
    const answer = await register(changes);
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    expect(answer.body.errors.map((error) => error.pointer)).toContain(pointer);
  });

  it('names every wrong member at once', async () => {
    const answer = await register({ amount: 0, currency: 'brl', extra: 1 });
    expect(answer.body.errors).toHaveLength(3);
  });

  it("seals a payment's own refresh token and never shows it", async () => {
    const changes = { provider: 'picpay', provider_credentials: { refresh_token: 'secret-1' } };
    const answer = await register(changes);
    expect(answer.status).toBe(201);
    expect(JSON.stringify(answer.body)).not.toContain('secret-1');
    await register({ ...changes, provider_credentials: { refresh_token: 'secret-2' } });
    const row = await door.db
      .selectFrom('provider_credentials')
      .selectAll()
      .where('owner', '=', answer.body.id)
      .executeTakeFirstOrThrow();
    expect(unseal(row.sealed, { keys: [{ id: 'k1', secret: Buffer.alloc(32, 7) }] })).toBe('secret-2');
  });

  it('400 for credentials where nothing is there to seal them with', async () => {
    const bare = await openFrontDoor({ config: { payloadKeys: null, frontDoorKeys } });
    const body = { ...paymentBody, provider: 'picpay', provider_credentials: { refresh_token: 't' } };
    const answer = await bare.call('POST', '/v1/payments', { body });
    await bare.close();
    expect([answer.status, answer.body.errors[0]?.pointer]).toEqual([400, '/provider_credentials']);
  });
});

describe('GET /v1/payments', () => {
  it('200 with what is refundable now: nothing where one refund a payment is the rule and one is live', async () => {
    const { body } = await register();
    await storeRefund(door.db, { id: `rfd_one_${serial}`, paymentId: body.id, amountMinor: 100 });
    const answer = await door.call('GET', `/v1/payments/${body.id}`);
    expect(answer.body).toMatchObject({ amount_reserved: 100, refundable_amount: 0 });
    const braspag = await register({ provider: 'braspag' });
    await storeRefund(door.db, { id: `rfd_two_${serial}`, paymentId: braspag.body.id, amountMinor: 100 });
    const other = await door.call('GET', `/v1/payments/${braspag.body.id}`);
    expect(other.body).toMatchObject({ amount_reserved: 100 });
  });

  it('404 not_found for an unknown payment and for its events', async () => {
    for (const path of ['/v1/payments/pay_none', '/v1/payments/pay_none/events']) {
      const answer = await door.call('GET', path);
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    }
  });

  it('400 for what can be no id', async () => {
    expect((await door.call('GET', '/v1/payments/a%00b')).status).toBe(400);
  });

  it("finds by the provider's id in any spelling", async () => {
    const { body } = await register();
    const found = await door.call(
      'GET',
      `/v1/payments?provider=pagou&provider_payment_id=${uuid.toUpperCase()}`,
    );
    expect(found.body).toEqual({ object: 'list', data: [body], has_more: false });
    const anywhere = await door.call('GET', `/v1/payments?provider_payment_id=${uuid}`);
    expect(anywhere.body.data).toEqual([body]);
    const none = await door.call('GET', `/v1/payments?provider=efi&provider_payment_id=${uuid}`);
    expect(none.body.data).toEqual([]);
  });
});
