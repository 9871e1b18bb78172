import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { SimulatedProvider } from '../simulators/book.js';
import { createWaker } from '../src/upkeep/waking.js';
import {
  isFinal,
  refundWhen,
  registerPayment,
  startService,
  type AnswerBody,
  type Service,
} from './setup/service.js';
import { eventually } from './setup/eventually.js';

const DAY_MS = 86_400_000;
const ALWAYS = 100_000;
/** As often as the workers' own upkeep does it. */
const WAKE_EVERY_MS = 1_000;

interface ProviderShown {
  readonly breaker: string;
  readonly breakers: Readonly<
    Record<'read' | 'submit', { readonly state: string; readonly failures: number }>
  >;
  readonly waiting_refunds: number;
  readonly waiting_amount: number;
}

describe('trouble with a provider', () => {
  let service: Service;
  let keys = 0;
  let waking: NodeJS.Timeout;
  let woken: Promise<void> = Promise.resolve();
  beforeAll(async () => {
    // Long beside what is waited for, so that little goes on by chance.
    service = await startService({ RETRY_MAX_MS: '2000' });
    const wake = createWaker(service.db, service.client, PROVIDERS, () => Date.now());
    waking = setInterval(() => {
      woken = woken.then(wake);
    }, WAKE_EVERY_MS);
  }, 60_000);
  afterAll(async () => {
    clearInterval(waking);
    await woken;
    await service.close();
  }, 60_000);
  afterEach(() => service.simulators.clearFaults());

  const PROVIDERS: readonly SimulatedProvider[] = ['pagou', 'efi', 'braspag', 'picpay', 'fourgeeks'];

  async function askFor(paymentId: string): Promise<string> {
    const { status, body } = await service.call('POST', '/v1/refunds', {
      idempotencyKey: `outage-${(keys += 1)}`,
      body: { payment_id: paymentId, amount: 700, reason: 'requested_by_customer' },
    });
    expect(status).toBe(202);
    return body.id;
  }

  async function registerPaidAt(provider: SimulatedProvider, paidAtMs: number) {
    const made = service.simulators.createPayment(provider, {
      amountMinor: 2_000,
      paidAt: new Date(paidAtMs).toISOString(),
    });
    const { body } = await service.call('POST', '/v1/payments', {
      body: {
        provider,
        provider_payment_id: made.providerPaymentId,
        amount: 2_000,
        currency: made.currency,
        paid_at: made.paidAt,
      },
    });
    return { id: body.id, providerPaymentId: body.provider_payment_id };
  }

  const shown = async (provider: string): Promise<ProviderShown> => {
    const { body } = await service.call('GET', '/v1/providers');
    const all = body['data'] as readonly (ProviderShown & { provider: string })[];
    return all.find((each) => each.provider === provider)!;
  };
  const turn = async (provider: string, how: 'pause' | 'resume') => {
    const answer = await service.call('POST', `/v1/providers/${provider}/${how}`, {
      role: 'operator',
      actor: 'olga',
      body: { reason: 'a drill' },
    });
    expect(answer.status).toBe(200);
  };
  const reads = (provider: SimulatedProvider): number => service.simulators.callsOf(provider, 'read').length;
  const submits = (provider: SimulatedProvider): number =>
    service.simulators.callsOf(provider, 'submit').length;
  const errorCode = (refund: AnswerBody): string | undefined =>
    (refund['provider_error'] as { code: string } | null)?.code;

  it('parks all its refunds with few calls, and resumes them in order of deadline', async () => {
    const days = [40, 10, 70, 20, 60, 30, 5, 80, 50, 15, 65, 25];
    await service.simulators.inject('pagou', {
      operation: 'read',
      name: 'status_before_effect',
      status: 503,
      times: ALWAYS,
    });
    const asked = [];
    for (const ago of days) {
      const payment = await registerPaidAt('pagou', Date.now() - ago * DAY_MS);
      asked.push({ ago, ...payment, refundId: await askFor(payment.id) });
    }
    const waiting = { breaker: 'open', waiting_refunds: days.length, waiting_amount: days.length * 700 };
    await eventually(
      () => shown('pagou'),
      (state) => state.breaker !== 'closed' && state.waiting_refunds === days.length,
    );
    await Promise.all(
      asked.map(({ refundId }) => refundWhen(service, refundId, (refund) => errorCode(refund) !== undefined)),
    );
    const before = { reads: reads('pagou'), failures: (await shown('pagou')).breakers.read.failures };
    const later = await eventually(
      () => shown('pagou'),
      (state) => state.breaker === 'open' && state.breakers.read.failures >= before.failures + 2,
    );
    expect(later).toMatchObject(waiting);
    // Nobody but the probes called, and before it opened hardly more than it took to open it.
    expect(reads('pagou') - before.reads).toBeLessThanOrEqual(later.breakers.read.failures - before.failures);
    expect(reads('pagou')).toBeLessThanOrEqual(later.breakers.read.failures + 3);
    expect(submits('pagou')).toBe(0);
    const last = await refundWhen(service, asked.at(-1)!.refundId, () => true);
    expect(last).toMatchObject({
      status: 'pending',
      pending_reason: 'provider_unavailable',
      provider_error: { code: 'breaker_open', message: expect.stringMatching(/since .* tried again from/) },
    });

    await service.simulators.clearFaults('pagou');
    await Promise.all(
      asked.map(async ({ refundId }) =>
        expect(await refundWhen(service, refundId, isFinal, 30_000)).toMatchObject({ status: 'succeeded' }),
      ),
    );
    const sent = service.simulators.callsOf('pagou', 'submit').map(({ path }) => path.split('/').at(-2));
    const inOrder = [...asked].sort((one, other) => other.ago - one.ago);
    const places = inOrder.map(({ providerPaymentId }) => sent.indexOf(providerPaymentId));
    expect(sent).toHaveLength(days.length);
    // Those who are let go within milliseconds of each other may pass each other on the way, on a busy machine.
    const outOfPlace = places.reduce((sum, at, place) => sum + Math.abs(at - place), 0);
    expect(outOfPlace / places.length).toBeLessThanOrEqual(2);
    expect(await shown('pagou')).toMatchObject({ breaker: 'closed', waiting_refunds: 0, waiting_amount: 0 });
  }, 60_000);

  it('that an operator sees: paused, nothing is sent while reads go on; resumed, it goes', async () => {
    const underWay = await registerPayment(service, 'efi', 2_000);
    await service.simulators.inject('efi', { operation: 'submit', name: 'never_confirms' });
    const accepted = await askFor(underWay.id);
    await eventually(
      async () => service.simulators.refundsOf('efi', underWay.providerPaymentId),
      (refunds) => refunds.length === 1,
    );
    await turn('efi', 'pause');
    const sent = submits('efi');
    const ids = await Promise.all(
      [1, 2].map(async () => askFor((await registerPayment(service, 'efi', 2_000)).id)),
    );
    for (const id of ids) {
      const waiting = await refundWhen(service, id, (refund) => errorCode(refund) !== undefined);
      expect(waiting).toMatchObject({
        status: 'pending',
        pending_reason: 'provider_unavailable',
        provider_error: { code: 'provider_paused' },
      });
    }
    // What was sent before is confirmed by a reading, all the same.
    const [refund] = service.simulators.refundsOf('efi', underWay.providerPaymentId);
    service.simulators.setRefundStatus('efi', underWay.providerPaymentId, refund!.id, 'succeeded');
    expect(await refundWhen(service, accepted, isFinal)).toMatchObject({ status: 'succeeded' });
    expect(submits('efi')).toBe(sent);
    expect(await shown('efi')).toMatchObject({ breaker: 'closed', waiting_refunds: 2 });

    await turn('efi', 'resume');
    for (const id of ids) {
      expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
    }
    expect(submits('efi')).toBe(sent + 2);
  }, 30_000);

  it('that limits us: Retry-After on a reading holds all reads there, and opens nothing', async () => {
    await service.simulators.inject('picpay', {
      operation: 'read',
      name: 'status_before_effect',
      status: 429,
      retryAfter: 2,
    });
    const began = reads('picpay');
    const first = await askFor((await registerPayment(service, 'picpay', 2_000)).id);
    const second = await askFor((await registerPayment(service, 'picpay', 2_000)).id);
    for (const id of [first, second]) {
      await refundWhen(service, id, (refund) => errorCode(refund) === 'provider_limiting');
    }
    expect(reads('picpay') - began).toBe(1);
    expect(await shown('picpay')).toMatchObject({
      breaker: 'closed',
      breakers: { read: { held_until: expect.any(String), failures: 0 } },
    });
    for (const id of [first, second]) {
      expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
    }
  }, 30_000);

  it('that takes no submits: those alone are shut, and nothing more is claimed', async () => {
    await service.simulators.inject('braspag', { operation: 'submit', name: 'down' });
    const ids = await Promise.all(
      Array.from({ length: 6 }, async () => askFor((await registerPayment(service, 'braspag', 2_000)).id)),
    );
    const open = await eventually(
      () => shown('braspag'),
      (state) => state.breakers.submit.state !== 'closed',
    );
    expect(open.breakers.read.state).toBe('closed');
    for (const id of ids) {
      await refundWhen(service, id, (refund) => errorCode(refund) !== undefined);
    }
    const late = await askFor((await registerPayment(service, 'braspag', 2_000)).id);
    await refundWhen(service, late, (refund) => errorCode(refund) === 'breaker_open');
    const claims = await service.db
      .selectFrom('provider_attempts')
      .select('number')
      .where('refund_id', '=', late)
      .execute();
    expect(claims).toEqual([]);

    await service.simulators.clearFaults('braspag');
    for (const id of [...ids, late]) {
      expect(await refundWhen(service, id, isFinal, 25_000)).toMatchObject({ status: 'succeeded' });
    }
  }, 60_000);

  it('that has paid a charge out: the refund fails at once, and says so plainly', async () => {
    const payment = await registerPayment(service, 'fourgeeks', 2_000);
    await service.simulators.inject('fourgeeks', { operation: 'submit', name: 'declined' });
    expect(await refundWhen(service, await askFor(payment.id), isFinal)).toMatchObject({
      status: 'failed',
      failure_reason: 'provider_declined',
      provider_error: {
        code: 'already_paid_out',
        message: expect.stringMatching(/has paid this charge out/),
      },
    });
  });
});
