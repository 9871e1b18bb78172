import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { refundWorkflowId } from '../workflows/messages.js';
import type { SimulatedProvider } from '../simulators/book.js';
import type { Fault } from '../simulators/faults.js';
import { resumeOrphans } from '../src/upkeep/orphans.js';
import {
  isFinal,
  refundWhen,
  registerPayment,
  startService,
  type AnswerBody,
  type Service,
} from './setup/service.js';

interface Moment {
  readonly title: string;
  readonly provider: SimulatedProvider;
  readonly fault: Fault;
  readonly reached: (refund: AnswerBody) => boolean;
}

/** Each place where a refund waits; what the fault leaves open is healed after the run is gone. */
const MOMENTS: readonly Moment[] = [
  {
    title: 'while the provider is away and nothing was sent',
    provider: 'pagou',
    fault: { operation: 'read', name: 'status_before_effect', status: 503, times: 500 },
    reached: ({ pending_reason }) => pending_reason === 'provider_unavailable',
  },
  {
    title: 'while it waits for balance',
    provider: 'braspag',
    fault: { operation: 'submit', name: 'insufficient_balance', times: 500 },
    reached: ({ pending_reason }) => pending_reason === 'insufficient_balance',
  },
  {
    title: 'while the call is under way',
    provider: 'fourgeeks',
    fault: { operation: 'submit', name: 'slow', ms: 500 },
    reached: ({ pending_reason }) => pending_reason === 'provider_processing',
  },
  {
    title: 'while an unclear outcome that took effect is being read',
    provider: 'fourgeeks',
    fault: { operation: 'submit', name: 'reset_after_effect' },
    reached: ({ pending_reason }) => pending_reason === 'outcome_unknown',
  },
  {
    title: 'while an unclear outcome that took no effect is being read',
    provider: 'fourgeeks',
    fault: { operation: 'submit', name: 'reset_before_effect' },
    reached: ({ pending_reason }) => pending_reason === 'outcome_unknown',
  },
  {
    title: 'while its confirmation is awaited',
    provider: 'efi',
    fault: { operation: 'submit', name: 'confirm_delay', ms: 2_000 },
    reached: ({ pending_reason }) => pending_reason === 'provider_processing',
  },
];

describe('a refund whose run is gone', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  }, 60_000);
  afterAll(async () => {
    await service.close();
  }, 60_000);

  // Faults strike the next call at a provider: the moments follow one another.
  for (const moment of MOMENTS) {
    it(`is finished by the sweep, once: terminated ${moment.title}`, async () => {
      const { id, providerPaymentId } = await refundAt(moment, 'terminated');
      await service.client.workflow.getHandle(refundWorkflowId(id)).terminate('a test');
      await service.simulators.clearFaults(moment.provider);
      expect(await sweepUntilFinal(id)).toMatchObject({ status: 'succeeded' });
      expectOneRefund(moment.provider, providerPaymentId);
    }, 30_000);
  }

  it('keeps the money right when it is reset to any of its steps, even after its end', async () => {
    const ended = await Promise.all(
      (['efi', 'picpay', 'braspag'] as const).map(async (provider) => {
        const payment = await registerPayment(service, provider, 2_000);
        const id = await askFor(payment.id, `reset-${provider}`);
        return { provider, id, payment, before: await refundWhen(service, id, isFinal) };
      }),
    );
    await Promise.all(
      ended.map(async ({ provider, id, payment, before }) => {
        expect(before.status).toBe('succeeded');
        const run = await runOf(id);
        expect((await tasksOf(run)).length).toBeGreaterThan(1);
        for (const eventId of await tasksOf(run)) await (await resetTo(run, eventId)).result();
        const { body: after } = await service.call('GET', `/v1/refunds/${id}`);
        expect(after).toEqual(before);
        expectOneRefund(provider, payment.providerPaymentId);
        const { body } = await service.call('GET', `/v1/payments/${payment.id}`);
        expect(body).toMatchObject({ amount_refunded: 700, amount_reserved: 0, amount_external: 0 });
      }),
    );
  }, 60_000);

  it('is sent once when it is reset to any of its steps on the way', async () => {
    const payment = await registerPayment(service, 'efi', 2_000);
    await service.simulators.inject('efi', { operation: 'submit', name: 'never_confirms' });
    const id = await askFor(payment.id, 'reset-on-the-way');
    await refundWhen(service, id, () => shownAt('efi', payment.providerPaymentId).length > 0);
    await refundWhen(service, id, ({ pending_reason }) => pending_reason === 'provider_processing');
    const run = await runOf(id);
    while ((await tasksOf(run)).length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const eventId of await tasksOf(run)) await resetTo(run, eventId);

    const [shown] = shownAt('efi', payment.providerPaymentId);
    service.simulators.setRefundStatus('efi', payment.providerPaymentId, shown!.id, 'succeeded');
    expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
    expectOneRefund('efi', payment.providerPaymentId);
  }, 30_000);

  it('keeps its own run: a sweep over refunds that run changes nothing', async () => {
    const payment = await registerPayment(service, 'efi', 2_000);
    await service.simulators.inject('efi', { operation: 'submit', name: 'confirm_delay', ms: 800 });
    const id = await askFor(payment.id, 'running');
    const handle = service.client.workflow.getHandle(refundWorkflowId(id));
    const { runId } = await handle.describe();
    for (let sweeps = 0; sweeps < 3; sweeps += 1) await resumeOrphans(service.db, service.client);
    await refundWhen(service, id, isFinal);
    expect((await handle.describe()).runId).toBe(runId);
  }, 30_000);

  it('is taken up where its run goes on in name alone: every workflow task fails', async () => {
    const payment = await registerPayment(service, 'efi', 2_000);
    await service.simulators.inject('efi', { operation: 'submit', name: 'confirm_delay', ms: 1_000 });
    const id = await askFor(payment.id, 'stuck');
    await refundWhen(service, id, () => shownAt('efi', payment.providerPaymentId).length > 0);
    const workflowId = refundWorkflowId(id);
    await service.client.workflow.getHandle(workflowId).terminate('a test');
    // No workflow can begin with that.
    await service.client.workflow.start('refund', { workflowId, taskQueue: 'estorno', args: [null] });
    const { runId } = await runOf(id);

    expect(await sweepUntilFinal(id)).toMatchObject({ status: 'succeeded' });
    expect((await runOf(id)).runId).not.toBe(runId);
    expectOneRefund('efi', payment.providerPaymentId);
  }, 60_000);

  it('is taken up by the ledger alone after Temporal lost everything that it knew', async () => {
    const open = await Promise.all(
      (['efi', 'braspag', 'pagou'] as const).map(async (provider) => {
        const payment = await registerPayment(service, provider, 2_000);
        await service.simulators.inject(provider, { operation: 'submit', name: 'never_confirms' });
        const id = await askFor(payment.id, `wiped-${provider}`);
        await refundWhen(service, id, () => shownAt(provider, payment.providerPaymentId).length > 0);
        return { provider, id, payment };
      }),
    );
    await service.stopWorkers();
    await service.replaceTemporal();
    await service.startWorkers();
    for (const { provider, payment } of open) {
      const [shown] = shownAt(provider, payment.providerPaymentId);
      service.simulators.setRefundStatus(provider, payment.providerPaymentId, shown!.id, 'succeeded');
    }
    for (const { id, provider, payment } of open) {
      expect(await sweepUntilFinal(id)).toMatchObject({ status: 'succeeded' });
      expectOneRefund(provider, payment.providerPaymentId);
    }
  }, 60_000);

  async function refundAt(
    moment: Moment,
    key: string,
  ): Promise<{ readonly id: string; readonly providerPaymentId: string }> {
    const payment = await registerPayment(service, moment.provider, 2_000);
    await service.simulators.inject(moment.provider, moment.fault);
    const id = await askFor(payment.id, `${key} ${moment.title}`);
    await refundWhen(service, id, moment.reached);
    return { id, providerPaymentId: payment.providerPaymentId };
  }

  async function askFor(paymentId: string, idempotencyKey: string): Promise<string> {
    const { status, body } = await service.call('POST', '/v1/refunds', {
      idempotencyKey,
      body: { payment_id: paymentId, amount: 700, reason: 'duplicate' },
    });
    expect(status).toBe(202);
    return body.id;
  }

  /** Visibility may still show a run that has just been ended: the next sweep sees it. */
  async function sweepUntilFinal(id: string): Promise<AnswerBody> {
    for (;;) {
      await resumeOrphans(service.db, service.client, { stuckAfterMs: 0 });
      try {
        return await refundWhen(service, id, isFinal, 1_500);
      } catch (error) {
        if (!String(error).includes('still')) throw error;
      }
    }
  }

  function shownAt(provider: SimulatedProvider, providerPaymentId: string) {
    return service.simulators.refundsOf(provider, providerPaymentId);
  }

  function expectOneRefund(provider: SimulatedProvider, providerPaymentId: string): void {
    expect(shownAt(provider, providerPaymentId)).toMatchObject([{ amountMinor: 700 }]);
  }

  interface Run {
    readonly workflowId: string;
    readonly runId: string;
  }

  async function runOf(refundId: string): Promise<Run> {
    const workflowId = refundWorkflowId(refundId);
    return { workflowId, runId: (await service.client.workflow.getHandle(workflowId).describe()).runId };
  }

  async function tasksOf({ workflowId, runId }: Run) {
    const { events } = await service.client.workflow.getHandle(workflowId, runId).fetchHistory();
    const done = (events ?? []).filter((event) => event.workflowTaskCompletedEventAttributes);
    return done.map(({ eventId }) => eventId!);
  }

  /** As `temporal workflow reset` does. */
  async function resetTo(run: Run, eventId: Awaited<ReturnType<typeof tasksOf>>[number]) {
    const { runId } = await service.client.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution: run,
      workflowTaskFinishEventId: eventId,
      requestId: `${run.runId}-${String(eventId)}`,
      reason: 'a test',
    });
    return service.client.workflow.getHandle(run.workflowId, runId);
  }
});
