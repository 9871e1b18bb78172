import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { SimulatedProvider } from '../simulators/book.js';
import { whyNot, type Fault } from '../simulators/faults.js';
import { PROVIDERS } from '../src/providers/registry.js';
import { isFinal, refundWhen, registerPayment, startService, type Service } from './setup/service.js';

const LOST_ANSWERS: readonly Fault[] = [
  { operation: 'submit', name: 'reset_before_effect' },
  { operation: 'submit', name: 'reset_after_effect' },
  { operation: 'submit', name: 'timeout_before_effect' },
  { operation: 'submit', name: 'timeout_after_effect' },
  { operation: 'submit', name: 'status_before_effect', status: 503 },
  { operation: 'submit', name: 'status_before_effect', status: 429, retryAfter: 1 },
  { operation: 'submit', name: 'status_after_effect', status: 500 },
  { operation: 'submit', name: 'status_after_effect', status: 408 },
  { operation: 'submit', name: 'cut_body' },
  { operation: 'submit', name: 'html', status: 502 },
  { operation: 'submit', name: 'html', status: 200 },
  { operation: 'submit', name: 'token_expired' },
];

const SIMULATED = PROVIDERS.map(({ name }) => name as SimulatedProvider);

const CASES = SIMULATED.flatMap((provider) =>
  LOST_ANSWERS.filter((fault) => whyNot(provider, fault) === null).map((fault) => ({
    provider,
    fault,
    title: [provider, fault.name, 'status' in fault ? fault.status : ''].join(' '),
  })),
);

describe('an answer that goes missing ends in one refund', () => {
  let service: Service;
  // Faults strike the next request at a provider, so its cases follow one another; the providers run side by side.
  const ends = new Map<string, Promise<End>>();
  beforeAll(async () => {
    service = await startService();
    for (const name of SIMULATED) {
      let before: Promise<unknown> = Promise.resolve();
      for (const each of CASES.filter(({ provider }) => provider === name)) {
        const end = before.then(() => refundUnder(service, each));
        before = end.catch(() => undefined);
        ends.set(each.title, end);
        end.catch(() => undefined);
      }
    }
  }, 60_000);
  afterAll(async () => {
    await Promise.allSettled(ends.values());
    await service.close();
  }, 60_000);

  it.each(CASES)(
    '$title',
    async ({ title }) => {
      const { refund, shown } = await ends.get(title)!;
      expect(refund.status).toBe('succeeded');
      expect(shown).toMatchObject([{ amountMinor: 4_200 }]);
    },
    60_000,
  );
});

interface End {
  readonly refund: { readonly status: string };
  readonly shown: readonly { readonly amountMinor: number }[];
}

async function refundUnder(
  service: Service,
  { provider, fault, title }: (typeof CASES)[number],
): Promise<End> {
  const payment = await registerPayment(service, provider, 4_200);
  await service.simulators.inject(provider, fault);
  const asked = await service.call('POST', '/v1/refunds', {
    idempotencyKey: title,
    body: { payment_id: payment.id, amount: 4_200, reason: 'requested_by_customer' },
  });
  expect(asked.status).toBe(202);
  const refund = await refundWhen(service, asked.body.id, isFinal);
  return { refund, shown: service.simulators.refundsOf(provider, payment.providerPaymentId) };
}
