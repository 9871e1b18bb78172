import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isFinal, refundWhen, registerPayment, startService, type Service } from './setup/service.js';

const ASKED = 60;
const FIT = 24;

describe('sixty refunds at once on one payment', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  }, 60_000);
  afterAll(async () => {
    await service.close();
  }, 60_000);

  // PicPay has idempotency keys and runs them side by side; the lane providers run them one after another.
  it.each(['picpay', 'fourgeeks', 'efi', 'braspag'] as const)(
    'accept exactly as many as fit and pay each once: %s',
    async (provider) => {
      const payment = await registerPayment(service, provider, FIT * 250 + 249);
      const answers = await Promise.all(
        Array.from({ length: ASKED }, (_, index) =>
          service.call('POST', '/v1/refunds', {
            idempotencyKey: `sixty-${provider}-${index}`,
            body: { payment_id: payment.id, amount: 250, reason: 'requested_by_customer' },
          }),
        ),
      );
      const accepted = answers.filter(({ status }) => status === 202);
      expect(accepted).toHaveLength(FIT);
      const refused = answers.filter(({ status }) => status === 422);
      expect(refused).toHaveLength(ASKED - FIT);
      expect(new Set(refused.map(({ body }) => body.code))).toEqual(new Set(['amount_exceeds_available']));

      const refunds = await Promise.all(
        accepted.map(({ body }) => refundWhen(service, body.id, isFinal, 60_000)),
      );
      expect(new Set(refunds.map(({ status }) => status))).toEqual(new Set(['succeeded']));
      const shown = service.simulators.refundsOf(provider, payment.providerPaymentId);
      expect(shown.map(({ amountMinor }) => amountMinor)).toEqual(Array.from({ length: FIT }, () => 250));
      const after = await service.call('GET', `/v1/payments/${payment.id}`);
      expect(after.body).toMatchObject({
        amount_refunded: FIT * 250,
        amount_reserved: 0,
        refundable_amount: 249,
      });
    },
    120_000,
  );

  it('leaves one where the provider allows one refund a payment: pagou', async () => {
    const payment = await registerPayment(service, 'pagou', 10_000);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        service.call('POST', '/v1/refunds', {
          idempotencyKey: `ten-${index}`,
          body: { payment_id: payment.id, amount: 250, reason: 'requested_by_customer' },
        }),
      ),
    );
    const [accepted, ...more] = answers.filter(({ status }) => status === 202);
    expect(more).toEqual([]);
    await refundWhen(service, accepted!.body.id, isFinal);
    expect(service.simulators.refundsOf('pagou', payment.providerPaymentId)).toHaveLength(1);
  }, 60_000);
});
