import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { SimulatedProvider } from '../simulators/book.js';
import { isFinal, refundWhen, registerPayment, startService, type Service } from './setup/service.js';

describe('a refund that can’t go on says why, and goes on by itself', () => {
  let service: Service;
  let keys = 0;
  beforeAll(async () => {
    service = await startService();
  }, 60_000);
  afterAll(async () => {
    await service.close();
  }, 60_000);

  afterEach(async () => {
    await service.simulators.clearFaults();
  });

  async function askFor(paymentId: string): Promise<string> {
    const { status, body } = await service.call('POST', '/v1/refunds', {
      idempotencyKey: `waiting-${(keys += 1)}`,
      body: { payment_id: paymentId, amount: 700, reason: 'requested_by_customer' },
    });
    expect(status).toBe(202);
    return body.id;
  }

  it.each(['efi', 'braspag'] as const)(
    'waits for balance, and is paid once it is there: %s',
    async (provider) => {
      const payment = await registerPayment(service, provider, 2_000);
      await service.simulators.inject(provider, {
        operation: 'submit',
        name: 'insufficient_balance',
        times: 1_000,
      });
      const id = await askFor(payment.id);
      const waiting = await refundWhen(
        service,
        id,
        ({ pending_reason }) => pending_reason === 'insufficient_balance',
      );
      expect(waiting).toMatchObject({ status: 'pending', provider_error: { message: expect.any(String) } });
      expect(service.simulators.refundsOf(provider, payment.providerPaymentId)).toEqual([]);
      await service.simulators.clearFaults(provider);
      expect(await refundWhen(service, id, isFinal)).toMatchObject({
        status: 'succeeded',
        provider_error: null,
      });
      expect(service.simulators.refundsOf(provider, payment.providerPaymentId)).toHaveLength(1);
    },
    30_000,
  );

  it.each(['picpay', 'efi', 'braspag', 'fourgeeks', 'pagou'] as const)(
    'waits for a provider that is down: %s',
    async (provider) => {
      const payment = await registerPayment(service, provider, 2_000);
      await service.simulators.inject(provider, { operation: 'read', name: 'down' });
      const id = await askFor(payment.id);
      await refundWhen(service, id, ({ pending_reason }) => pending_reason === 'provider_unavailable');
      await service.simulators.clearFaults(provider);
      expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
      expect(service.simulators.refundsOf(provider, payment.providerPaymentId)).toHaveLength(1);
    },
    30_000,
  );

  it.each(['picpay', 'efi', 'braspag', 'fourgeeks', 'pagou'] as const)(
    'fails in the provider’s own words where it declines, and gives the reservation back: %s',
    async (provider) => {
      const payment = await registerPayment(service, provider, 2_000);
      await service.simulators.inject(provider, { operation: 'submit', name: 'declined' });
      const refund = await refundWhen(service, await askFor(payment.id), isFinal);
      expect(refund).toMatchObject({
        status: 'failed',
        failure_reason: 'provider_declined',
        provider_error: { code: expect.any(String), message: expect.any(String) },
      });
      const { body } = await service.call('GET', `/v1/payments/${payment.id}`);
      expect(body).toMatchObject({ amount_reserved: 0, amount_refunded: 0, refundable_amount: 2_000 });
    },
    30_000,
  );

  it.each(['braspag', 'pagou'] as const)(
    'goes to review on a status that no document lists, and leaves when the provider decides: %s',
    async (provider) => {
      const payment = await registerPayment(service, provider, 2_000);
      await service.simulators.inject(provider, { operation: 'submit', name: 'never_confirms' });
      const id = await askFor(payment.id);
      const [shown] = await listed(provider, payment.providerPaymentId);
      await service.simulators.inject(provider, { operation: 'read', name: 'unknown_status', times: 10_000 });
      await refundWhen(service, id, ({ status }) => status === 'review');
      await service.simulators.clearFaults(provider);
      service.simulators.setRefundStatus(provider, payment.providerPaymentId, shown!.id, 'succeeded');
      expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
      expect(service.simulators.refundsOf(provider, payment.providerPaymentId)).toHaveLength(1);
    },
    30_000,
  );

  it('waits, with nothing sent, where the payment itself has a status that no document lists', async () => {
    const payment = await registerPayment(service, 'pagou', 2_000);
    await service.simulators.inject('pagou', {
      operation: 'read',
      name: 'status_before_effect',
      status: 503,
    });
    await service.simulators.inject('pagou', { operation: 'read', name: 'unknown_status', times: 10_000 });
    const id = await askFor(payment.id);
    const waiting = await refundWhen(
      service,
      id,
      ({ pending_reason }) => pending_reason === 'provider_unavailable',
    );
    expect(waiting).toMatchObject({ provider_error: { code: 'unusable_reading' } });
    expect(service.simulators.refundsOf('pagou', payment.providerPaymentId)).toEqual([]);
    await service.simulators.clearFaults('pagou');
    expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
  }, 30_000);

  async function listed(
    provider: SimulatedProvider,
    providerPaymentId: string,
  ): Promise<ReturnType<Service['simulators']['refundsOf']>> {
    for (;;) {
      const shown = service.simulators.refundsOf(provider, providerPaymentId);
      if (shown.length > 0) return shown;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  it.each(['efi', 'braspag'] as const)(
    'fails where the provider rejects it after accepting it: %s',
    async (provider) => {
      const payment = await registerPayment(service, provider, 2_000);
      await service.simulators.inject(provider, { operation: 'submit', name: 'reject_later' });
      expect(await refundWhen(service, await askFor(payment.id), isFinal)).toMatchObject({
        status: 'failed',
        failure_reason: 'provider_declined',
      });
    },
    30_000,
  );
});
