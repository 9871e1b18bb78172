import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ScheduleDescription } from '@temporalio/client';
import type { SimulatedProvider } from '../simulators/book.js';
import {
  ensureReconciliationSchedule,
  RECONCILIATION_SCHEDULE_ID,
} from '../src/upkeep/reconciliation-schedule.js';
import { reconcileContradictions } from '../src/upkeep/contradictions.js';
import { assertBooks } from './setup/books.js';
import { eventually } from './setup/eventually.js';
import { refundWhen, registerPayment, startService, type AnswerBody, type Service } from './setup/service.js';

const PRICE = 2_000;
const PART = 700;

let service: Service;
let keys = 0;
/** The cases share nothing but the service, so they all begin at once. */
const under = new Map<string, Promise<void>>();

beforeAll(async () => {
  service = await startService();
  for (const [name, play] of Object.entries(CASES)) {
    const playing = play();
    playing.catch(() => undefined);
    under.set(name, playing);
  }
}, 60_000);
afterAll(async () => {
  await service.close();
}, 60_000);

interface Paid {
  readonly provider: SimulatedProvider;
  readonly paymentId: string;
  readonly providerPaymentId: string;
  readonly refundId: string;
}

async function ask(paymentId: string, amount = PART): Promise<string> {
  const { status, body } = await service.call('POST', '/v1/refunds', {
    idempotencyKey: `reconciliation-${(keys += 1)}`,
    body: { payment_id: paymentId, amount, reason: 'requested_by_customer' },
  });
  expect([status, body.code]).toEqual([202, undefined]);
  return body.id;
}

/** A refund of 700 of 2,000, once it has this status. */
async function refunded(provider: SimulatedProvider, status = 'succeeded'): Promise<Paid> {
  const { id: paymentId, providerPaymentId } = await registerPayment(service, provider, PRICE);
  const refundId = await ask(paymentId);
  await refundWhen(service, refundId, (refund) => refund.status === status);
  return { provider, paymentId, providerPaymentId, refundId };
}

const payment = async (id: string) => (await service.call('GET', `/v1/payments/${id}`)).body;

async function paymentWhen(id: string, until: (payment: AnswerBody) => boolean): Promise<AnswerBody> {
  return eventually(() => payment(id), until);
}

async function eventsOf(path: string): Promise<{ type: string; origin: string }[]> {
  return (await service.call('GET', `${path}/events?limit=100`)).body['data'] as never;
}

/** What the provider did to the refund meanwhile, announced by nothing but a webhook. */
async function becomes(
  { provider, providerPaymentId }: Paid,
  status: 'rejected' | 'succeeded',
): Promise<void> {
  const [refund] = service.simulators.refundsOf(provider, providerPaymentId);
  service.simulators.setRefundStatus(provider, providerPaymentId, refund!.id, status);
  await service.simulators.sendWebhook(provider, providerPaymentId);
}

const readsOf = (provider: SimulatedProvider, providerPaymentId: string) =>
  service.simulators
    .callsOf(provider, 'read')
    .filter(({ path }) => decodeURIComponent(path).includes(providerPaymentId)).length;

/** The readings after the end are over once nothing doubts any more and no workflow reads the payment. */
async function readingsEnd(paymentId: string): Promise<void> {
  const handle = service.client.workflow.getHandle(`reconciliation/payment/${paymentId}`);
  await handle.result();
}

const deliveriesOf = (provider: string, providerPaymentId: string) =>
  service.db
    .selectFrom('webhook_inbox')
    .selectAll()
    .where('provider', '=', provider)
    .where('provider_payment_id', '=', providerPaymentId)
    .execute();

const CASES: Readonly<Record<string, () => Promise<void>>> = {
  'money that moved in the panel lowers what is refundable, by a webhook alone, and is in the trail':
    async () => {
      const { id, providerPaymentId } = await registerPayment(service, 'efi', PRICE);
      service.simulators.addPanelRefund('efi', providerPaymentId, 500);
      await service.simulators.sendWebhook('efi', providerPaymentId);
      const seen = await paymentWhen(id, ({ amount_external: external }) => external === 500);
      expect(seen).toMatchObject({ refundable_amount: 1_500 });
      expect(await eventsOf(`/v1/payments/${id}`)).toContainEqual(
        expect.objectContaining({ type: 'external_refunds_seen', origin: 'provider', refund_id: null }),
      );
    },

  'a webhook that comes ten times has one effect, and few readings': async () => {
    const { id, providerPaymentId } = await registerPayment(service, 'pagou', PRICE);
    service.simulators.addPanelRefund('pagou', providerPaymentId, 500);
    const before = readsOf('pagou', providerPaymentId);
    const statuses = await service.simulators.sendWebhook('pagou', providerPaymentId, { times: 10 });
    expect(new Set(statuses)).toEqual(new Set([200]));
    await paymentWhen(id, ({ amount_external: external }) => external === 500);
    await readingsEnd(id);
    expect(readsOf('pagou', providerPaymentId) - before).toBeLessThanOrEqual(3);
    const events = await eventsOf(`/v1/payments/${id}`);
    expect(events.filter(({ type }) => type === 'external_refunds_seen')).toHaveLength(1);
    await eventually(
      () => deliveriesOf('pagou', providerPaymentId),
      (rows) => rows.every((row) => row.matched_at !== null),
    );
  },

  'a refund that the provider takes back is reversed after two readings, and its amount can be refunded once more':
    async () => {
      const paid = await refunded('efi');
      await becomes(paid, 'rejected');
      const reversed = await refundWhen(service, paid.refundId, ({ status }) => status === 'reversed');
      expect(reversed).toMatchObject({ evidence: { provider_status: 'aceito' } });
      expect(await payment(paid.paymentId)).toMatchObject({
        amount_refunded: 0,
        amount_external: 0,
        refundable_amount: PRICE,
      });
      const doubts = (await eventsOf(`/v1/refunds/${paid.refundId}`)).slice(-2);
      expect(doubts.map(({ type }) => type)).toEqual(['refund_doubted', 'refund_reversed']);

      await service.simulators.sendWebhook('efi', paid.providerPaymentId, { times: 3 });
      const again = await ask(paid.paymentId, PRICE);
      await refundWhen(service, again, ({ status }) => status === 'succeeded');
      expect(await payment(paid.paymentId)).toMatchObject({ amount_refunded: PRICE, refundable_amount: 0 });
    },

  'a single negative reading changes nothing': async () => {
    const paid = await refunded('efi');
    await becomes(paid, 'rejected');
    await eventually(
      () => eventsOf(`/v1/refunds/${paid.refundId}`),
      (events) => events.at(-1)?.type === 'refund_doubted',
    );
    await becomes(paid, 'succeeded');
    await readingsEnd(paid.paymentId);
    const refund = await service.call('GET', `/v1/refunds/${paid.refundId}`);
    expect(refund.body).toMatchObject({ status: 'succeeded' });
    expect((await eventsOf(`/v1/refunds/${paid.refundId}`)).at(-1)).toMatchObject({ type: 'doubt_cleared' });
    expect(await payment(paid.paymentId)).toMatchObject({ amount_refunded: PART });
  },

  'a refund that had failed and lands late goes to review, its amount counted at once': async () => {
    await service.simulators.inject('braspag', { operation: 'submit', name: 'reject_later' });
    const paid = await refunded('braspag', 'failed');
    expect(await payment(paid.paymentId)).toMatchObject({ refundable_amount: PRICE });
    await becomes(paid, 'succeeded');
    await refundWhen(service, paid.refundId, ({ status }) => status === 'review');
    expect(await payment(paid.paymentId)).toMatchObject({ refundable_amount: PRICE - PART });
  },

  'a refund that is no longer shown goes to review, its amount still counted, by a refresh alone':
    async () => {
      await service.simulators.inject('fourgeeks', { operation: 'submit', name: 'vanishes', ms: 300 });
      const paid = await refunded('fourgeeks');
      await eventually(
        async () => service.simulators.refundsOf('fourgeeks', paid.providerPaymentId),
        ([refund]) => refund?.hidden === true,
      );
      await eventually(
        () => service.call('GET', `/v1/refunds/${paid.refundId}?refresh=true`),
        ({ body }) => body.status === 'review',
      );
      expect(await payment(paid.paymentId)).toMatchObject({ amount_refunded: PART });
    },

  'another amount than was asked for is booked as it is, and stops the provider': async () => {
    await service.simulators.inject('picpay', {
      operation: 'submit',
      name: 'other_amount',
      amountMinor: PART + 200,
    });
    const paid = await refunded('picpay');
    await eventually(
      () => service.call('GET', `/v1/refunds/${paid.refundId}?refresh=true`),
      ({ body }) => body.status === 'review',
    );
    // Without an id the entry stands in the place of ours: what it shows counts, and nothing twice.
    expect(await payment(paid.paymentId)).toMatchObject({
      amount_refunded: 0,
      amount_external: PART + 200,
      refundable_amount: PRICE - PART - 200,
    });
    const providers = (await service.call('GET', '/v1/providers')).body['data'] as unknown[];
    expect(providers).toContainEqual(expect.objectContaining({ provider: 'picpay', paused: true }));
  },

  'a webhook for a payment that nobody registered is kept, and followed once somebody does': async () => {
    const made = service.simulators.createPayment('efi', { amountMinor: PRICE });
    service.simulators.addPanelRefund('efi', made.providerPaymentId, 300);
    expect(await service.simulators.sendWebhook('efi', made.providerPaymentId)).toEqual([200]);
    expect(await deliveriesOf('efi', made.providerPaymentId)).toMatchObject([{ matched_at: null }]);
    const { body } = await service.call('POST', '/v1/payments', {
      body: {
        provider: 'efi',
        provider_payment_id: made.providerPaymentId,
        amount: PRICE,
        currency: 'BRL',
        paid_at: made.paidAt,
      },
    });
    await paymentWhen(body.id, ({ amount_external: external }) => external === 300);
    expect(await deliveriesOf('efi', made.providerPaymentId)).toMatchObject([
      { matched_at: expect.any(Date) },
    ]);
  },

  'a webhook for a payment that is registered by its first refund is followed by that': async () => {
    const made = service.simulators.createPayment('efi', { amountMinor: PRICE });
    service.simulators.addPanelRefund('efi', made.providerPaymentId, 300);
    await service.simulators.sendWebhook('efi', made.providerPaymentId);
    const { status, body } = await service.call('POST', '/v1/refunds', {
      idempotencyKey: `reconciliation-${(keys += 1)}`,
      body: { provider: 'efi', provider_payment_id: made.providerPaymentId, reason: 'duplicate' },
    });
    expect([status, body['amount']]).toEqual([202, PRICE - 300]);
    expect(await deliveriesOf('efi', made.providerPaymentId)).toMatchObject([
      { matched_at: expect.any(Date) },
    ]);
  },
};

describe('after the end, and outside our sight', () => {
  it.each(Object.keys(CASES))('%s', async (name) => under.get(name), 30_000);
});

describe('a run over everything', () => {
  async function run(): Promise<AnswerBody> {
    const begun = await service.call('POST', '/v1/reconciliations', { role: 'operator', actor: 'olga' });
    expect(begun.status).toBe(202);
    expect(begun.headers.get('location')).toBe(`/v1/reconciliations/${begun.body.id}`);
    expect(begun.body).toMatchObject({ object: 'reconciliation', status: 'running', requested_by: 'olga' });
    const same = await service.call('POST', '/v1/reconciliations', { role: 'operator', actor: 'otto' });
    expect(same.body.id).toBe(begun.body.id);
    return report(begun.body.id);
  }

  async function report(id: string): Promise<AnswerBody> {
    const read = () => service.call('GET', `/v1/reconciliations/${id}`, { role: 'operator' });
    return (await eventually(read, ({ body }) => body.status === 'completed')).body;
  }

  it('reports what it found, each difference once', async () => {
    await Promise.allSettled(under.values());
    const before = await run();
    const [panel, taken] = await Promise.all([refunded('braspag'), refunded('efi')]);
    service.simulators.addPanelRefund('braspag', panel.providerPaymentId, 400);
    const [refund] = service.simulators.refundsOf('efi', taken.providerPaymentId);
    service.simulators.setRefundStatus('efi', taken.providerPaymentId, refund!.id, 'rejected');

    const found = await run();
    expect(found).toMatchObject({
      origin: 'operator',
      payments_read: (before['payments_read'] as number) + 2,
      payments_unreadable: 0,
      external_found: 1,
      reversed: 1,
      adopted: 0,
      disappeared: 0,
      differences_total: 2,
      finished_at: expect.any(String),
    });
    expect(found['differences']).toEqual([
      expect.objectContaining({ kind: 'external', payment_id: panel.paymentId, refund_id: null }),
      expect.objectContaining({ kind: 'reversed', payment_id: taken.paymentId, refund_id: taken.refundId }),
    ]);
    expect(await run()).toMatchObject({ differences_total: 0, differences: [] });
    await assertBooks(service.db);
  }, 60_000);

  it('comes by itself where a refund waits because what is shown contradicts the ledger', async () => {
    const first = await refunded('efi');
    const [shown] = service.simulators.refundsOf('efi', first.providerPaymentId);
    service.simulators.setRefundStatus('efi', first.providerPaymentId, shown!.id, 'rejected');
    const waiting = await ask(first.paymentId, 500);
    const code = ({ provider_error: error }: AnswerBody) => (error as { code: string } | null)?.code;
    await refundWhen(service, waiting, (refund) => code(refund) === 'unusable_reading');
    await reconcileContradictions(service.db, service.client);
    await refundWhen(service, first.refundId, ({ status }) => status === 'reversed');
    await refundWhen(service, waiting, ({ status }) => status === 'succeeded');
    expect(await payment(first.paymentId)).toMatchObject({ amount_refunded: 500, refundable_amount: 1_500 });
  }, 60_000);

  it('is for operators', async () => {
    const answers = await Promise.all([
      service.call('POST', '/v1/reconciliations'),
      service.call('GET', '/v1/reconciliations/rec_none'),
      service.call('GET', '/v1/reconciliations/rec_none', { role: 'operator' }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 404]);
  });

  it('is scheduled every night in the policy’s zone, however many workers see to it', async () => {
    const ensure = (timeZone: string) => ensureReconciliationSchedule(service.client, { timeZone });
    await Promise.all([1, 2, 3].map(() => ensure('America/Sao_Paulo')));
    const schedule = service.client.schedule.getHandle(RECONCILIATION_SCHEDULE_ID);
    await ensure('America/Manaus');
    const { spec, policies, info } = await schedule.describe();
    expect(spec).toMatchObject({ timezone: 'America/Manaus', calendars: [{ hour: [{ start: 3 }] }] });
    expect(policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 6 * 3_600_000 });
    expect(info.nextActionTimes[0]?.toISOString()).toMatch(/T07:00:00/);

    await schedule.trigger();
    const rows = () =>
      service.db.selectFrom('reconciliations').selectAll().where('origin', '=', 'schedule').execute();
    const [row] = await eventually(rows, (all) => all.length === 1);
    expect(await report(row!.id)).toMatchObject({ origin: 'schedule', requested_by: 'estorno' });
  }, 60_000);

  it('is put back as it was meant to be whatever of its schedule was altered, but for a pause', async () => {
    const ensure = () => ensureReconciliationSchedule(service.client, { timeZone: 'America/Manaus' });
    const schedule = service.client.schedule.getHandle(RECONCILIATION_SCHEDULE_ID);
    await ensure();
    await schedule.pause('a holiday');
    const { spec, action, policies, info } = await schedule.describe();
    const meant = { spec, action, policies, state: { paused: true, note: 'a holiday' } };
    await ensure();
    expect((await schedule.describe()).info).toEqual(info);

    const alterations: readonly ((was: ScheduleDescription) => object)[] = [
      () => ({ spec: { ...spec, calendars: [{ hour: 3, minute: 30 }] } }),
      () => ({ spec: { ...spec, calendars: [{ hour: 3, dayOfWeek: 'SUNDAY' }] } }),
      () => ({ spec: { ...spec, skip: [{ hour: 3 }] } }),
      () => ({ spec: { ...spec, endAt: new Date() } }),
      () => ({ action: { ...action, workflowType: 'other' } }),
      () => ({ action: { ...action, taskQueue: 'nowhere' } }),
      () => ({ action: { ...action, args: [{ body: { reconciliationId: 'rec_other' } }] } }),
      () => ({ action: { ...action, workflowExecutionTimeout: 1_000 } }),
      () => ({ policies: { ...policies, catchupWindow: 10_000 } }),
      ({ state }) => ({ state: { ...state, remainingActions: 0 } }),
    ];
    for (const alter of alterations) {
      await schedule.update((was) => ({ ...was, ...alter(was) }));
      await ensure();
      expect(await schedule.describe()).toMatchObject(meant);
      expect((await schedule.describe()).state.remainingActions).toBeUndefined();
    }
  }, 60_000);
});
