import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isFinal, refundWhen, registerPayment, startService, type Service } from './setup/service.js';

const PROVIDERS = ['picpay', 'efi', 'braspag', 'fourgeeks', 'pagou'] as const;

describe('a refund’s journey', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  }, 60_000);
  afterAll(async () => {
    await service.close();
  }, 60_000);

  describe.each(PROVIDERS)('through %s', (provider) => {
    it('gives a whole payment back exactly once', async () => {
      const payment = await registerPayment(service, provider, 5_000);
      const asked = await service.call('POST', '/v1/refunds', {
        idempotencyKey: `whole-${provider}`,
        body: { payment_id: payment.id, reason: 'requested_by_customer' },
      });
      expect(asked.status).toBe(202);
      expect(asked.headers.get('location')).toBe(`/v1/refunds/${asked.body.id}`);

      const refund = await refundWhen(service, asked.body.id, isFinal);
      expect(refund).toMatchObject({ status: 'succeeded', amount: 5_000, pending_reason: null });
      expect(refund.evidence).toMatchObject({ provider_status: expect.any(String) });
      expect(service.simulators.refundsOf(provider, payment.providerPaymentId)).toMatchObject([
        { amountMinor: 5_000 },
      ]);
      const after = await service.call('GET', `/v1/payments/${payment.id}`);
      expect(after.body).toMatchObject({
        amount_refunded: 5_000,
        amount_reserved: 0,
        amount_external: 0,
        refundable_amount: 0,
      });
    }, 30_000);

    it('gives part of a payment back', async () => {
      const payment = await registerPayment(service, provider, 1_234);
      const asked = await service.call('POST', '/v1/refunds', {
        idempotencyKey: `part-${provider}`,
        body: { payment_id: payment.id, amount: 234, reason: 'duplicate', description: 'part' },
      });
      expect(asked.status).toBe(202);
      const refund = await refundWhen(service, asked.body.id, isFinal);
      expect(refund).toMatchObject({ status: 'succeeded', amount: 234 });
      expect(service.simulators.refundsOf(provider, payment.providerPaymentId)).toMatchObject([
        { amountMinor: 234 },
      ]);
    }, 30_000);
  });
});
