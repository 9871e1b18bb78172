import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from '@temporalio/client';
import { REFUND_TASK_QUEUE, refundWorkflowId } from '../workflows/messages.js';
import type { SimulatedProvider } from '../simulators/book.js';
import type { Fault } from '../simulators/faults.js';
import { refuseByThrowing, sealingConverter } from '../src/sealing/data-converter.js';
import { resumeOrphans, STUCK_AFTER_MS } from '../src/upkeep/orphans.js';
import { eventually, until } from './setup/eventually.js';
import { forgerAt, type Forger } from './setup/forger.js';
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
  let forger: Forger;
  const troubledSinceMs = new Map<string, number>();
  const sweep = (nowMs: number) => resumeOrphans(service.db, service.client, { troubledSinceMs, nowMs });
  beforeAll(async () => {
    service = await startService();
    forger = forgerAt(service);
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
    // Visibility may not know of it yet.
    const listWorkflowExecutions = async () => ({ executions: [], nextPageToken: new Uint8Array() });
    for (const client of [service.client, clientWith({ listWorkflowExecutions })]) {
      expect(await resumeOrphans(service.db, client)).not.toContain(id);
    }
    await refundWhen(service, id, isFinal);
    expect((await handle.describe()).runId).toBe(runId);
  }, 30_000);

  it('is found by counting: all are compared where the counts differ, but for a twentieth of the time, and each hour', async () => {
    const { id } = await processing('counted');
    let compared = false;
    const listWorkflowExecutions = (asked: { readonly query?: string }) => {
      compared ||= !asked.query?.includes('TemporalReportedProblems');
      return service.client.workflowService.listWorkflowExecutions(asked);
    };
    const pace = { comparedAtMs: -Infinity, tookMs: 0 };
    const isComparedAt = async (nowMs: number) => {
      compared = false;
      await resumeOrphans(service.db, clientWith({ listWorkflowExecutions }), { pace, nowMs });
      return compared;
    };
    expect(await isComparedAt(Date.now())).toBe(true);
    await until(async () => !(await isComparedAt(pace.comparedAtMs + 60_000)));
    expect(await isComparedAt(pace.comparedAtMs + 3_599_999)).toBe(false);
    expect(await isComparedAt(pace.comparedAtMs + 3_600_000)).toBe(true);
    pace.tookMs = 5_000;
    await forger.handleOf(id).terminate('a test');
    const running = `WorkflowId = '${refundWorkflowId(id)}' AND ExecutionStatus = 'Running'`;
    await until(async () => (await service.client.workflow.count(running)).count === 0);
    expect(await isComparedAt(pace.comparedAtMs + 99_999)).toBe(false);
    expect(await isComparedAt(pace.comparedAtMs + 100_000)).toBe(true);
  }, 30_000);

  it('is taken up where its run goes on in name alone: it fails for a minute, whatever it is told meanwhile', async () => {
    const { id, providerPaymentId } = await processing('stuck');
    // No worker can read that.
    const keys = { keys: [{ id: 'lost', secret: Buffer.alloc(32) }], acceptsPlain: false };
    const dataConverter = sealingConverter(keys, refuseByThrowing);
    const sealing = new Client({ connection: service.client.connection, dataConverter });
    await sealing.workflow.start('refund', {
      workflowId: refundWorkflowId(id),
      taskQueue: REFUND_TASK_QUEUE,
      args: [null],
      workflowIdConflictPolicy: 'TERMINATE_EXISTING',
      workflowTaskTimeout: '1s',
    });
    const { runId } = await runOf(id);
    const isShownInTrouble = async () => {
      const query = `WorkflowId = '${refundWorkflowId(id)}' AND TemporalReportedProblems IS NOT NULL`;
      return (await service.client.workflow.count(query)).count === 1;
    };
    // Each signal takes the engine's count of its attempts back.
    const signals = setInterval(() => void forger.handleOf(id).signal('retry', { body: {} }), 500);
    await until(isShownInTrouble);
    clearInterval(signals);

    const seenAtMs = Date.now();
    expect(await sweep(seenAtMs)).not.toContain(id);
    expect(await sweep(seenAtMs + STUCK_AFTER_MS - 1)).not.toContain(id);
    expect((await runOf(id)).runId).toBe(runId);
    expect(await sweep(seenAtMs + STUCK_AFTER_MS)).toContain(id);
    confirm('efi', providerPaymentId);
    expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
    expectOneRefund('efi', providerPaymentId);
  }, 60_000);

  it('is not taken up while no worker is there to go on with it', async () => {
    const { id, providerPaymentId } = await processing('no-worker');
    const { runId } = await runOf(id);
    await service.stopWorkers();
    await forger.handleOf(id).signal('retry', { body: {} });
    const seenAtMs = Date.now();
    for (const minutes of [0, 1, 60]) expect(await sweep(seenAtMs + minutes * 60_000)).not.toContain(id);
    expect((await runOf(id)).runId).toBe(runId);
    await service.startWorkers();
    confirm('efi', providerPaymentId);
    expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
  }, 60_000);

  it.each([
    { title: 'of its type, on a queue that nobody serves', type: 'refund', taskQueue: 'nowhere' },
    { title: 'of another type', type: 'other', taskQueue: 'estorno' },
    { title: 'of another type, on a queue that nobody serves', type: 'other', taskQueue: 'nowhere' },
    { title: 'that begins in a month', type: 'refund', taskQueue: 'estorno', startDelay: '30 days' as const },
  ])(
    'gets its own again where another run holds its id: one $title',
    async ({ title, type, ...given }) => {
      const { id, providerPaymentId } = await processing(`held ${title}`);
      const workflowIdConflictPolicy = 'TERMINATE_EXISTING';
      const start = {
        ...given,
        workflowId: refundWorkflowId(id),
        args: [{}],
        workflowIdConflictPolicy,
      } as const;
      await service.client.workflow.start(type, start);
      const { runId } = await runOf(id);
      const ended: string[] = [];
      const onEnded = (run: { readonly runId: string }): unknown => ended.push(run.runId);

      // Another sweep is done with it between this one's look and what it does about it.
      const counted: string[] = [];
      const sweepOvertaken = () =>
        resumeOrphans(
          service.db,
          clientOvertaken(async () => {
            counted.push(...(await resumeOrphans(service.db, service.client, { onEnded })));
          }),
          { onEnded },
        );
      while (!counted.includes(id)) counted.push(...(await sweepOvertaken()));
      counted.push(...(await sweep(Date.now())));
      expect(counted.filter((each) => each === id)).toHaveLength(1);
      expect(ended.filter((each) => each === runId)).toHaveLength(1);
      confirm('efi', providerPaymentId);
      expect(await refundWhen(service, id, isFinal)).toMatchObject({ status: 'succeeded' });
      expectOneRefund('efi', providerPaymentId);
    },
    30_000,
  );

  it('is found although somebody wrote into a run what the client can not read', async () => {
    const { id, providerPaymentId } = await processing('unreadable');
    await service.client.workflowService.startWorkflowExecution({
      namespace: 'default',
      requestId: 'a test',
      workflowId: refundWorkflowId('unreadable'),
      workflowType: { name: 'refund' },
      taskQueue: { name: 'nowhere' },
      memo: { fields: { a: { metadata: { encoding: Buffer.from('none') }, data: Buffer.from('a') } } },
    });
    await eventually(
      async () =>
        (await service.client.workflow.count(`WorkflowId = '${refundWorkflowId('unreadable')}'`)).count,
      (count) => count === 1,
    );
    await forger.handleOf(id).terminate('a test');
    confirm('efi', providerPaymentId);
    expect(await sweepUntilFinal(id)).toMatchObject({ status: 'succeeded' });
    await forger.handleOf('unreadable').terminate('a test');
  }, 30_000);

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

  /** To the sweep alone the engine answers so. */
  function clientWith(answers: object): Client {
    const workflowService = Object.assign(Object.create(service.client.workflowService), answers);
    return Object.create(service.client, { workflowService: { value: workflowService } }) as Client;
  }

  /** This happens after each of its looks at a run, before it knows the answer. */
  function clientOvertaken(by: () => Promise<void>): Client {
    const { workflowService } = service.client;
    type Asked = Parameters<typeof workflowService.describeWorkflowExecution>[0];
    const describeWorkflowExecution = async (asked: Asked) => {
      const answer = await workflowService.describeWorkflowExecution(asked);
      await by();
      return answer;
    };
    return clientWith({ describeWorkflowExecution });
  }

  /** Its provider has it, and confirms it when told to. */
  async function processing(
    key: string,
  ): Promise<{ readonly id: string; readonly providerPaymentId: string }> {
    const { id: paymentId, providerPaymentId } = await registerPayment(service, 'efi', 2_000);
    await service.simulators.inject('efi', { operation: 'submit', name: 'never_confirms' });
    const id = await askFor(paymentId, key);
    await refundWhen(service, id, ({ pending_reason }) => pending_reason === 'provider_processing');
    await until(async () => shownAt('efi', providerPaymentId).length > 0);
    return { id, providerPaymentId };
  }

  function confirm(provider: SimulatedProvider, providerPaymentId: string): void {
    const [shown] = shownAt(provider, providerPaymentId);
    service.simulators.setRefundStatus(provider, providerPaymentId, shown!.id, 'succeeded');
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
      await sweep(Date.now());
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

  type Run = Readonly<Record<'workflowId' | 'runId', string>>;

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
