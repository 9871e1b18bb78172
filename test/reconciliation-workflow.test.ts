import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type {
  PaymentsReconciled,
  ReconciliationReadings,
  ReconciliationSteps,
} from '../activities/interface.js';
import { createRefundEngine } from '../src/api/refund-engine.js';
import {
  paymentReconciliationWorkflowId,
  providerTaskQueue,
  reconciliationWorkflowId,
  REFUND_TASK_QUEUE,
} from '../workflows/messages.js';
import { temporalAddress, workflowBundlePath } from './setup/real-parts.js';
import { clientThatSkipsTime } from './setup/skipped-time.js';

const NOTHING: PaymentsReconciled = {
  read: 1,
  unreadable: 0,
  hintRefundIds: [],
  retryRefundIds: [],
  readAgainInMs: null,
};

/** What the activities were asked, in order, and what they answer. */
interface Script {
  readonly seen: string[];
  readonly read: (payment: string, times: number) => Promise<PaymentsReconciled>;
  readonly pages?: Readonly<Record<string, readonly (readonly string[])[]>>;
}

const scripts = new Map<string, Script>();
let connection: Connection;
let native: NativeConnection;
let workers: readonly Worker[];
let runs: readonly Promise<void>[];
// Queues of its own: other files share the server.
const NAMESPACE = `reconciliation-${randomUUID()}`;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  connection = await Connection.connect({ address: temporalAddress() });
  await connection.workflowService.registerNamespace({
    namespace: NAMESPACE,
    workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
  });
  native = await NativeConnection.connect({ address: temporalAddress() });
  const shared = { connection: native, namespace: NAMESPACE };
  workers = await Promise.all([
    Worker.create({
      ...shared,
      taskQueue: REFUND_TASK_QUEUE,
      workflowBundle: { codePath: workflowBundlePath() },
      activities: { ...steps },
    }),
    ...['efi', 'pagou'].map((provider) =>
      Worker.create({ ...shared, taskQueue: providerTaskQueue(provider), activities: { ...readings } }),
    ),
  ]);
  runs = workers.map((worker) => worker.run());
}, 60_000);
afterAll(async () => {
  for (const worker of workers) worker.shutdown();
  await Promise.all(runs);
  await native.close();
  await connection.close();
}, 60_000);

function scriptOf(id: string): Script {
  const script = scripts.get(id);
  if (!script) throw new Error(`nobody wrote ${id}`);
  return script;
}

const steps: ReconciliationSteps = {
  beginReconciliation: async ({ reconciliationId }) => {
    const { pages = {} } = scriptOf(reconciliationId);
    return { providers: Object.keys(pages), quietMs: 900_000 };
  },
  nextPayments: async ({ provider, pass, after }) => {
    const [id = ''] = [...scripts].find(([, { pages }]) => pages?.[provider]) ?? [];
    const { pages = {}, seen } = scriptOf(id);
    if (pass === 'doubtful') seen.push(`doubtful ${provider} after ${after}`);
    const own = pages[provider] ?? [];
    const at = own.findIndex((page) => page.at(-1) === after) + 1;
    return pass === 'doubtful' && after !== '' ? [] : (own[at] ?? []);
  },
  noteReconciled: async ({ reconciliationId, paymentsRead, paymentsUnreadable, finished }) => {
    const { seen } = scriptOf(reconciliationId);
    if (finished) seen.push(`finished ${paymentsRead}/${paymentsUnreadable}`);
  },
};

const readings: ReconciliationReadings = {
  reconcilePayments: async ({ reconciliationId, paymentIds }) => {
    const { seen, read } = scriptOf(reconciliationId);
    seen.push(paymentIds.join());
    return read(paymentIds.join(), seen.filter((what) => what === paymentIds.join()).length);
  },
  reconcilePayment: async ({ paymentId }) => {
    const { seen, read } = scriptOf(paymentId);
    seen.push('read');
    return read(paymentId, seen.length);
  },
};

/** Workflows wait in real time, or their clock jumps to whatever is next. */
function engine(time: 'real' | 'skipped') {
  const inNamespace = new Client({
    connection: time === 'real' ? connection : clientThatSkipsTime(connection).connection,
    namespace: NAMESPACE,
  });
  return createRefundEngine(inNamespace);
}

function handleOf(workflowId: string): WorkflowHandle {
  return new Client({ connection, namespace: NAMESPACE }).workflow.getHandle(workflowId);
}

describe('the reconciliation of one payment', () => {
  const provider = 'efi';

  it('answers a burst of calls by two readings, the second one begun after the last call', async () => {
    const paymentId = `pay_${randomUUID()}`;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const seen: string[] = [];
    scripts.set(paymentId, {
      seen,
      read: async (_payment, times) => {
        if (times === 1) await held;
        return NOTHING;
      },
    });
    const real = engine('real');
    await real.reconcilePayment({ paymentId, provider });
    await until(() => seen.length === 1);
    await Promise.all(Array.from({ length: 10 }, () => real.reconcilePayment({ paymentId, provider })));
    release();
    await handleOf(paymentReconciliationWorkflowId(paymentId)).result();
    expect(seen).toEqual(['read', 'read']);
  }, 30_000);

  it('reads once where nothing is in doubt, and once more a quiet time later where something is', async () => {
    const [fine, doubted] = [`pay_${randomUUID()}`, `pay_${randomUUID()}`];
    scripts.set(fine, { seen: [], read: async () => NOTHING });
    scripts.set(doubted, {
      seen: [],
      read: async (_payment, times) => ({ ...NOTHING, readAgainInMs: times === 1 ? 900_000 : null }),
    });
    await reconcileSkipping({ paymentId: fine, provider });
    await reconcileSkipping({ paymentId: doubted, provider });
    expect(scriptOf(fine).seen).toEqual(['read']);
    expect(scriptOf(doubted).seen).toEqual(['read', 'read']);
  }, 30_000);

  it('tells the refunds concerned, and ends well where they have none to hear it', async () => {
    const paymentId = `pay_${randomUUID()}`;
    scripts.set(paymentId, {
      seen: [],
      read: async () => ({ ...NOTHING, hintRefundIds: ['rfd_seen'], retryRefundIds: ['rfd_waits'] }),
    });
    await reconcileSkipping({ paymentId, provider });
    const { events } = await handleOf(paymentReconciliationWorkflowId(paymentId)).fetchHistory();
    const told = (events ?? []).flatMap(
      ({ signalExternalWorkflowExecutionInitiatedEventAttributes: signal }) =>
        signal ? [`${signal.signalName} ${signal.workflowExecution?.workflowId}`] : [],
    );
    expect(told).toEqual(['hint refund/rfd_seen', 'retry refund/rfd_waits']);
  }, 30_000);

  async function reconcileSkipping(payment: { paymentId: string; provider: string }): Promise<void> {
    await engine('skipped').reconcilePayment(payment);
    await handleOf(paymentReconciliationWorkflowId(payment.paymentId)).result();
  }
});

describe('a run over all payments', () => {
  it('reads each provider page by page, and then once more what was put in doubt', async () => {
    const id = `rec_${randomUUID().replaceAll('-', '')}`;
    const seen: string[] = [];
    scripts.set(id, {
      seen,
      pages: { efi: [['a', 'b'], ['c']], pagou: [['x']] },
      read: async (payments, times) => ({
        ...NOTHING,
        read: payments.split(',').length,
        readAgainInMs: payments === 'a,b' && times === 1 ? 900_000 : null,
      }),
    });
    await engine('skipped').reconcile(id);
    await handleOf(reconciliationWorkflowId(id)).result();
    const first = seen.slice(0, 3);
    expect(first.filter((page) => page !== 'x')).toEqual(['a,b', 'c']);
    expect(first).toContain('x');
    expect(seen.slice(3)).toContain('doubtful efi after ');
    expect(seen.slice(3).filter((what) => what === 'a,b')).toHaveLength(1);
    // Payments are counted once, however often they are read.
    expect(seen.at(-1)).toBe('finished 4/0');
  }, 30_000);
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}
