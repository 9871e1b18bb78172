import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { SimulatedProvider } from '../simulators/book.js';
import { assertBooks } from './setup/books.js';
import {
  isFinal,
  refundWhen,
  registerPayment,
  startService,
  type Answer,
  type Service,
} from './setup/service.js';

const AMOUNT = 700;
const OLGA = { actor: 'olga', role: 'operator' } as const;

describe('a person ends a review', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  }, 60_000);
  afterAll(async () => {
    await assertBooks(service.db);
    await service.close();
  }, 60_000);

  it('as succeeded, on their own evidence where two refunds look alike: once, whoever repeats it', async () => {
    const { id, payment } = await twinsInReview('twins');
    const shown = await service.call('GET', `/v1/refunds/${id}/review`, { role: 'viewer' });
    expect([shown.status, shown.body]).toMatchObject([
      200,
      {
        object: 'review',
        refund_id: id,
        in_review: true,
        ends_by: 'provider',
        reason: expect.stringContaining('2 new refunds'),
        since: expect.any(String),
        requested_by: 'rita',
        amount: AMOUNT,
        attempts: [{ number: 1, sends: 1, answer: { kind: 'unknown' }, found: null, conclusion: null }],
        provider_shows: {
          refunds: [
            { amount: AMOUNT, ours: null },
            { amount: AMOUNT, ours: null },
          ],
        },
        outcomes: [
          { outcome: 'succeeded', allowed: true, why: null },
          { outcome: 'failed', allowed: true, why: null },
          { outcome: 'resend', allowed: false, why: expect.stringContaining('2 new refunds') },
        ],
      },
    ]);
    expect(shown.body['to_do']).not.toEqual([]);
    expect(shown.body['never_do']).not.toEqual([]);

    const own = await resolve(id, 'succeeded', { ...OLGA, actor: 'rita' });
    expect([own.status, own.body.code]).toEqual([403, 'self_approval_forbidden']);
    expect((await resolve(id, 'resend')).body.code).toBe('provider_contradicts');
    const atOnce = await Promise.all([resolve(id, 'succeeded'), resolve(id, 'succeeded')]);
    const repeat = await resolve(id, 'succeeded');
    expect([...atOnce, repeat].map(({ status, body }) => [status, body.status])).toEqual(
      Array.from({ length: 3 }, () => [200, 'succeeded']),
    );
    expect(repeat.headers.get('idempotent-replayed')).toBe('true');
    const late = await resolve(id, 'failed');
    expect([late.status, late.body.code]).toEqual([409, 'not_in_review']);
    expect((await service.call('GET', `/v1/payments/${payment.id}`)).body).toMatchObject({
      amount_refunded: AMOUNT,
      amount_reserved: 0,
    });
    expect(await service.client.workflow.getHandle(`refund/${id}`).result()).toEqual({ status: 'succeeded' });
    const after = await service.call('GET', `/v1/refunds/${id}/review`, { role: 'viewer' });
    expect(after.body).toMatchObject({ in_review: false, to_do: [], attempts: [{ conclusion: 'landed' }] });
  }, 30_000);

  it('whose process was terminated: a new one carries the decision out', async () => {
    const { id, payment } = await twinsInReview('terminated');
    await service.client.workflow.getHandle(`refund/${id}`).terminate('a test');
    let answer = await resolve(id, 'failed');
    while (/may be under way until/.test(String(answer.body['detail']))) answer = await resolve(id, 'failed');
    expect([answer.status, answer.body]).toMatchObject([
      200,
      { status: 'failed', failure_reason: 'provider_declined' },
    ]);
    expect((await service.call('GET', `/v1/payments/${payment.id}`)).body).toMatchObject({
      amount_refunded: 0,
      amount_reserved: 0,
    });
  }, 30_000);

  it('with a resend of what is shown nowhere, which lands once', async () => {
    const payment = await registerPayment(service, 'pagou', AMOUNT);
    await service.simulators.inject('pagou', { operation: 'submit', name: 'reset_before_effect', times: 2 });
    const id = await askFor(payment.id, 'resent');
    await refundWhen(service, id, ({ status }) => status === 'review', 25_000);
    const { body } = await service.call('GET', `/v1/refunds/${id}/review`, { role: 'viewer' });
    expect(body).toMatchObject({
      attempts: [{ conclusion: 'absent' }, { conclusion: 'absent' }],
      outcomes: [
        { outcome: 'succeeded', allowed: false },
        { outcome: 'failed', allowed: true },
        { outcome: 'resend', allowed: true },
      ],
    });
    expect((await resolve(id, 'succeeded')).body.code).toBe('provider_contradicts');
    const resent = await resolve(id, 'resend');
    expect([resent.status, ['pending', 'succeeded']]).toEqual([
      200,
      expect.arrayContaining([resent.body.status]),
    ]);
    expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
    expect((await resolve(id, 'resend')).headers.get('idempotent-replayed')).toBe('true');
    expect(service.simulators.refundsOf('pagou', payment.providerPaymentId)).toHaveLength(1);
  }, 60_000);

  it('as failed never while the provider shows it as under way; it leaves by itself when that decides', async () => {
    const payment = await registerPayment(service, 'efi', 2_000);
    await service.simulators.inject('efi', { operation: 'submit', name: 'never_confirms' });
    await service.simulators.inject('efi', { operation: 'submit', name: 'timeout_after_effect' });
    const id = await askFor(payment.id, 'under-way');
    await untilShown('efi', payment.providerPaymentId);
    await service.simulators.inject('efi', { operation: 'read', name: 'unknown_status', times: 10_000 });
    await refundWhen(service, id, ({ status }) => status === 'review');
    await service.simulators.clearFaults('efi');
    const refused = await resolve(id, 'failed');
    expect([refused.status, refused.body.code, refused.body['detail']]).toEqual([
      409,
      'provider_contradicts',
      'The provider shows it as under way: it ends by itself.',
    ]);
    const [shown] = service.simulators.refundsOf('efi', payment.providerPaymentId);
    service.simulators.setRefundStatus('efi', payment.providerPaymentId, shown!.id, 'succeeded');
    expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
  }, 30_000);

  /** Our call's answer is lost, and somebody makes an equal refund in the panel: no reading tells them apart. */
  async function twinsInReview(
    key: string,
  ): Promise<{ id: string; payment: { id: string; providerPaymentId: string } }> {
    const payment = await registerPayment(service, 'braspag', 2_000);
    await service.simulators.inject('braspag', { operation: 'submit', name: 'timeout_after_effect' });
    const id = await askFor(payment.id, key);
    await untilShown('braspag', payment.providerPaymentId);
    service.simulators.addPanelRefund('braspag', payment.providerPaymentId, AMOUNT);
    await refundWhen(service, id, ({ status }) => status === 'review');
    return { id, payment };
  }

  function resolve(
    id: string,
    outcome: string,
    as: { actor: string; role: 'operator' } = OLGA,
  ): Promise<Answer> {
    const body = { outcome, evidence: { ticket: 'BR-2291', said: 'as the provider’s support confirmed' } };
    return service.call('POST', `/v1/refunds/${id}/resolve`, { body, ...as });
  }

  async function askFor(paymentId: string, idempotencyKey: string): Promise<string> {
    const { status, body } = await service.call('POST', '/v1/refunds', {
      idempotencyKey,
      body: { payment_id: paymentId, amount: AMOUNT, reason: 'duplicate' },
    });
    expect(status).toBe(202);
    return body.id;
  }

  async function untilShown(provider: SimulatedProvider, providerPaymentId: string): Promise<void> {
    while (service.simulators.refundsOf(provider, providerPaymentId).length === 0) {
      await new Promise((resolved) => setTimeout(resolved, 20));
    }
  }
});
