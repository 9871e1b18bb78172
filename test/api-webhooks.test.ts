import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openFrontDoor, paymentBody, PIX_ID, storeRefund, type FrontDoor } from './setup/front-door.js';

let door: FrontDoor;
beforeAll(async () => {
  door = await openFrontDoor({ off: ['efi'] });
  const { body } = await door.call('POST', '/v1/payments', { body: { ...paymentBody, provider: 'braspag' } });
  await storeRefund(door.db, { id: 'rfd_open', paymentId: body.id, amountMinor: 1 });
  await storeRefund(door.db, { id: 'rfd_done', paymentId: body.id, amountMinor: 1 });
  const done = { status: 'canceled' as const, pending_reason: null, money: 'released' as const };
  await door.db.updateTable('refunds').set(done).where('id', '=', 'rfd_done').execute();
});
afterAll(() => door.close());

const deliver = (
  body: string,
  headers: Record<string, string> = { 'x-signed': 'yes' },
  path = 'braspag/webhook',
) => door.call('POST', `/v1/providers/${path}`, { key: null, body, headers });

const stored = () => door.db.selectFrom('webhook_inbox').selectAll().orderBy('first_seen_at').execute();

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

describe('POST /v1/providers/{provider}/webhook', () => {
  it('401 for a bad signature, and nothing is stored, even if the body is no JSON', async () => {
    const answer = await deliver('broken', {});
    expect([answer.status, answer.body.code]).toEqual([401, 'unauthenticated']);
    expect(await stored()).toEqual([]);
  });

  it('400 for a malformed body, of whatever media type', async () => {
    for (const type of ['application/json', 'text/plain', 'application/octet-stream']) {
      const answer = await deliver('broken', { 'x-signed': 'yes', 'content-type': type });
      expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
    }
    expect(await stored()).toEqual([]);
  });

  it('404 for a provider without webhooks, an unknown one, and /pix elsewhere than at efi', async () => {
    for (const path of ['picpay/webhook', 'fourgeeks/webhook', 'stripe/webhook', 'braspag/webhook/pix']) {
      const answer = await deliver(PIX_ID, undefined, path);
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    }
  });

  it('401 for a provider that is off, on both of its paths', async () => {
    expect((await deliver(PIX_ID, undefined, 'efi/webhook')).status).toBe(401);
    expect((await deliver(PIX_ID, undefined, 'efi/webhook/pix')).status).toBe(401);
  });

  it('200, stored once with its count, and every open refund of the payment is hinted each time', async () => {
    for (let time = 1; time <= 2; time += 1) {
      const answer = await deliver(PIX_ID);
      expect([answer.status, answer.body]).toEqual([200, {}]);
      await until(() => door.engine.hinted.length === time);
    }
    expect(await stored()).toMatchObject([
      { deliveries: 2, provider_payment_id: PIX_ID, body: Buffer.from(PIX_ID) },
    ]);
    expect(door.engine.hinted).toEqual([1, 2].map(() => ({ refundId: 'rfd_open', source: 'webhook' })));
    // Nothing of it has been sent: no reading of its own would see what moved without us.
    const payments = await door.db.selectFrom('payments').select('id').execute();
    await until(() => door.engine.reconciled.length === 2);
    expect(door.engine.reconciled).toEqual([payments[0]?.id, payments[0]?.id]);
    expect(await stored()).toMatchObject([{ matched_at: null }]);
  });

  it('a payment that is registered later is read for what its provider had said of it', async () => {
    const id = '0b4f1b0e-4b5e-4b6c-8f4e-2f1f6b2c1101';
    await deliver(id);
    const before = door.engine.reconciled.length;
    const other = { ...paymentBody, provider: 'braspag', provider_payment_id: PIX_ID.replace('f3', 'e3') };
    await door.call('POST', '/v1/payments', { body: other });
    const named = await door.call('POST', '/v1/payments', {
      body: { ...other, provider_payment_id: id },
    });
    await until(() => door.engine.reconciled.length > before);
    expect(door.engine.reconciled.slice(before)).toEqual([named.body.id]);
  });

  it('200 for an unknown payment, and while the engine is away', async () => {
    expect((await deliver('some-other-payment')).status).toBe(200);
    door.engine.onHint = () => Promise.reject(new Error('down'));
    expect((await deliver(PIX_ID)).status).toBe(200);
    await until(() => door.logged.some((line) => Object.hasOwn(line as object, 'err')));
  });

  it('takes 256 KiB of any type, and 413 over that', async () => {
    const large = 'x'.repeat(256 * 1024);
    expect((await deliver(large)).status).toBe(200);
    const over = await deliver(`${large}x`, { 'x-signed': 'yes', 'content-type': 'text/plain' });
    expect([over.status, over.body.code]).toEqual([413, 'payload_too_large']);
  });
});
