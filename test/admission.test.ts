import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isFinal, refundWhen, registerPayment, startService, type Service } from './setup/service.js';

const DAY_MS = 86_400_000;

describe('admission, with the provider and the ledger really asked', () => {
  let service: Service;
  let keys = 0;
  beforeAll(async () => {
    service = await startService();
  }, 60_000);
  afterAll(async () => {
    await service.close();
  }, 60_000);

  const ask = (body: unknown, idempotencyKey = `admission-${(keys += 1)}`): ReturnType<Service['call']> =>
    service.call('POST', '/v1/refunds', { idempotencyKey, body });

  it.each(['picpay', 'efi', 'braspag', 'fourgeeks', 'pagou'] as const)(
    'reads a payment that nobody registered from the provider: %s',
    async (provider) => {
      const made = service.simulators.createPayment(provider, { amountMinor: 7_700 });
      const asked = await ask({ provider, provider_payment_id: made.providerPaymentId, reason: 'duplicate' });
      expect(asked.status).toBe(202);
      expect(asked.body).toMatchObject({ amount: 7_700, currency: made.currency });
      expect(await refundWhen(service, asked.body.id, isFinal)).toMatchObject({ status: 'succeeded' });
    },
    30_000,
  );

  it('answers 404 for a payment that neither we nor the provider know, and keeps the key free', async () => {
    const unknown = {
      provider: 'pagou',
      provider_payment_id: '11111111-2222-4333-8444-555555555555',
      reason: 'duplicate',
    };
    const asked = await ask(unknown, 'free-after-404');
    expect(asked).toMatchObject({ status: 404, body: { code: 'not_found' } });
    const payment = await registerPayment(service, 'pagou', 100);
    const again = await ask({ payment_id: payment.id, reason: 'duplicate' }, 'free-after-404');
    expect(again.status).toBe(202);
  });

  it('answers within 5 s while the provider hangs: 202 from the ledger, 503 where only the provider could tell', async () => {
    const payment = await registerPayment(service, 'braspag', 5_000);
    const unregistered = service.simulators.createPayment('braspag', { amountMinor: 5_000 });
    await service.simulators.inject('braspag', {
      operation: 'read',
      name: 'timeout_before_effect',
      times: 100,
    });
    const startedAt = performance.now();
    const [fromLedger, fromNobody] = await Promise.all([
      ask({ payment_id: payment.id, reason: 'duplicate' }),
      ask({ provider: 'braspag', provider_payment_id: unregistered.providerPaymentId, reason: 'duplicate' }),
    ]);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(fromLedger).toMatchObject({ status: 202, body: { status: 'pending', amount: 5_000 } });
    expect(fromNobody).toMatchObject({
      status: 503,
      body: { code: 'provider_unavailable', retryable: true },
    });
    await service.simulators.clearFaults('braspag');
    expect(await refundWhen(service, fromLedger.body.id, isFinal)).toMatchObject({ status: 'succeeded' });
  }, 30_000);

  it('is failed later, with the same word, where a registered payment turns out not to be refundable', async () => {
    const made = service.simulators.createPayment('pagou', { amountMinor: 900, status: 'canceled' });
    await service.simulators.inject('pagou', {
      operation: 'read',
      name: 'status_before_effect',
      status: 503,
      times: 1,
    });
    const { body } = await service.call('POST', '/v1/payments', {
      body: {
        provider: 'pagou',
        provider_payment_id: made.providerPaymentId,
        amount: 900,
        currency: 'BRL',
        paid_at: made.paidAt,
      },
    });
    const asked = await ask({ payment_id: body.id, reason: 'duplicate' });
    expect(asked.status).toBe(202);
    const refund = await refundWhen(service, asked.body.id, isFinal);
    expect(refund).toMatchObject({ status: 'failed', failure_reason: 'payment_not_refundable' });
    const payment = await service.call('GET', `/v1/payments/${body.id}`);
    expect(payment.body).toMatchObject({ amount_reserved: 0, amount_refunded: 0 });
  }, 30_000);

  it('names every broken rule at once, in the contract’s order, and stores the refusal for good', async () => {
    const paidAt = new Date(Date.now() - 95 * DAY_MS).toISOString();
    const made = service.simulators.createPayment('efi', { amountMinor: 1_000, paidAt });
    const { body: payment } = await service.call('POST', '/v1/payments', {
      body: {
        provider: 'efi',
        provider_payment_id: made.providerPaymentId,
        amount: 1_001,
        currency: 'BRL',
        paid_at: paidAt,
      },
    });
    const asked = await ask(
      { payment_id: payment.id, amount: 2_000, currency: 'USD', reason: 'duplicate' },
      'broken',
    );
    expect(asked.status).toBe(422);
    expect(asked.body).toMatchObject({
      code: 'payment_facts_mismatch',
      errors: [
        { code: 'payment_facts_mismatch' },
        { code: 'refund_window_expired' },
        { code: 'currency_mismatch' },
        { code: 'amount_exceeds_available' },
      ],
    });
    const again = await ask(
      { payment_id: payment.id, amount: 2_000, currency: 'USD', reason: 'duplicate' },
      'broken',
    );
    expect(again.status).toBe(422);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(await service.client.workflow.getHandle(`refund/${await refundIdOf('broken')}`).result()).toEqual({
      status: 'refused',
    });
  });

  it('makes one refund of twenty requests with one key, and refuses the key for another body', async () => {
    const payment = await registerPayment(service, 'fourgeeks', 3_000);
    const body = { payment_id: payment.id, amount: 1_000, reason: 'duplicate' };
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(body, 'twenty')));
    for (const answer of answers) expect([202, 409]).toContain(answer.status);
    const accepted = answers.filter(({ status }) => status === 202);
    expect(new Set(accepted.map((answer) => answer.body.id)).size).toBe(1);
    expect(accepted.filter((answer) => answer.headers.get('idempotent-replayed') === null)).toHaveLength(1);
    await refundWhen(service, accepted[0]!.body.id, isFinal);
    expect(service.simulators.refundsOf('fourgeeks', payment.providerPaymentId)).toHaveLength(1);
    expect(await ask({ ...body, amount: 1_001 }, 'twenty')).toMatchObject({
      status: 422,
      body: { code: 'idempotency_key_reused' },
    });
  }, 30_000);

  it('counts what left without us: a panel refund lowers what may be asked, and is in the payment’s trail', async () => {
    const payment = await registerPayment(service, 'fourgeeks', 3_000);
    service.simulators.addPanelRefund('fourgeeks', payment.providerPaymentId, 1_200);
    const tooMuch = await ask({ payment_id: payment.id, amount: 1_801, reason: 'duplicate' });
    expect(tooMuch).toMatchObject({ status: 422, body: { code: 'amount_exceeds_available' } });
    const all = await ask({ payment_id: payment.id, reason: 'duplicate' });
    expect(all).toMatchObject({ status: 202, body: { amount: 1_800 } });
    expect(await refundWhen(service, all.body.id, isFinal)).toMatchObject({ status: 'succeeded' });
    const trail = await service.call('GET', `/v1/payments/${payment.id}/events`);
    expect(trail.body['data']).toContainEqual(
      expect.objectContaining({ type: 'external_refunds_seen', origin: 'provider' }),
    );
  }, 30_000);

  async function refundIdOf(key: string): Promise<string> {
    const row = await service.db
      .selectFrom('idempotency')
      .select('refund_id')
      .where('key', '=', key)
      .executeTakeFirstOrThrow();
    return row.refund_id;
  }
});
