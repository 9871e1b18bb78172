import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  isFinal,
  refundWhen,
  registerPayment,
  startService,
  type Answer,
  type Service,
} from './setup/service.js';

describe('many refunds at once on one payment', () => {
  let service: Service;
  const ends = new Map<string, Promise<void>>();
  beforeAll(async () => {
    // So many at once in one process take their time: that is no outage of the provider.
    service = await startService({ PROVIDER_TIMEOUT_MS: '10000' });
  }, 60_000);
  afterAll(async () => {
    await Promise.allSettled(ends.values());
    await service.close();
  }, 60_000);

  // PicPay has idempotency keys and runs them side by side; the lane providers run them one after another.
  const CASES = [
    ['picpay', 60, 24],
    ['efi', 20, 8],
    ['fourgeeks', 12, 5],
    ['braspag', 12, 5],
  ] as const;
  beforeAll(() => {
    let before: Promise<unknown> = Promise.resolve();
    for (const [provider, asked, fit] of CASES) {
      const end = before.then(() => acceptsWhatFits(provider, asked, fit));
      before = end.catch(() => undefined);
      ends.set(provider, end);
      end.catch(() => undefined);
    }
  });

  it.each(CASES)(
    'accept exactly as many as fit and pay each once: %s, %d asked, %d fit',
    async (...[provider]) => {
      await ends.get(provider);
    },
    120_000,
  );

  async function acceptsWhatFits(
    provider: (typeof CASES)[number][0],
    asked: number,
    fit: number,
  ): Promise<void> {
    const payment = await registerPayment(service, provider, fit * 250 + 249);
    const answers = await Promise.all(
      Array.from({ length: asked }, (_, index) => ask(service, `many-${provider}-${index}`, payment.id)),
    );
    const accepted = answers.filter(({ status }) => status === 202);
    expect(accepted).toHaveLength(fit);
    const refused = answers.filter(({ status }) => status === 422);
    expect(refused).toHaveLength(asked - fit);
    expect(new Set(refused.map(({ body }) => body.code))).toEqual(new Set(['amount_exceeds_available']));

    const refunds = await Promise.all(
      accepted.map(({ body }) => refundWhen(service, body.id, isFinal, 60_000)),
    );
    expect(new Set(refunds.map(({ status }) => status))).toEqual(new Set(['succeeded']));
    const shown = service.simulators.refundsOf(provider, payment.providerPaymentId);
    expect(shown.map(({ amountMinor }) => amountMinor)).toEqual(Array.from({ length: fit }, () => 250));
    const after = await service.call('GET', `/v1/payments/${payment.id}`);
    expect(after.body).toMatchObject({
      amount_refunded: fit * 250,
      amount_reserved: 0,
      refundable_amount: 249,
    });
  }

  it('leaves one where the provider allows one refund a payment: pagou', async () => {
    const payment = await registerPayment(service, 'pagou', 10_000);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => ask(service, `ten-${index}`, payment.id)),
    );
    const [accepted, ...more] = answers.filter(({ status }) => status === 202);
    expect(more).toEqual([]);
    await refundWhen(service, accepted!.body.id, isFinal);
    expect(service.simulators.refundsOf('pagou', payment.providerPaymentId)).toHaveLength(1);
  }, 60_000);
});

const TRIES_MAX = 5;

/** As every client has to: a 503 is repeated with the same key. */
async function ask(service: Service, idempotencyKey: string, paymentId: string): Promise<Answer> {
  for (let tries = 1; ; tries += 1) {
    const answer = await service.call('POST', '/v1/refunds', {
      idempotencyKey,
      body: { payment_id: paymentId, amount: 250, reason: 'requested_by_customer' },
    });
    if (answer.status !== 503 || tries === TRIES_MAX) return answer;
  }
}
