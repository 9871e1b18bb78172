import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { RefundStart } from '../../activities/interface.js';
import { createRefundEngine, type RefundEngine } from '../../src/api/refund-engine.js';
import { startTemporal } from '../../src/embedded/temporal.js';
import {
  providerTaskQueue,
  REFUND_TASK_QUEUE,
  refundWorkflowId,
  SEARCH_ATTRIBUTES,
  type RefundWorkflow,
} from '../../workflows/messages.js';
import { fakeActivities, type FakeActivities } from './fake-activities.js';
import { proven } from './front-door-keys.js';
import { workflowBundlePath } from './real-parts.js';
import { clientThatSkipsTime, TIME_MAY_BE_SKIPPED } from './skipped-time.js';

/** So soon the server suggests a new run, instead of after 4,096 events. */
const EVENTS_BEFORE_A_NEW_RUN = '120';

/** The real workflow on a real server, with fake activities around it. */
export interface WorkflowStage {
  readonly cast: FakeActivities['cast'];
  /** As the front door asks for it; its workflow waits in real time, or its clock jumps to whatever is next. */
  request(start: RefundStart, time?: 'real' | 'skipped'): ReturnType<RefundEngine['requestRefund']>;
  hint(refundId: string, source: 'webhook' | 'refresh'): Promise<void>;
  handleOf(refundId: string): WorkflowHandle<RefundWorkflow>;
  close(): Promise<void>;
}

export async function openWorkflowStage(): Promise<WorkflowStage> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const dataDir = await mkdtemp(join(tmpdir(), 'estorno-workflow-'));
  const temporal = await startTemporal({
    dataDir,
    searchAttributes: SEARCH_ATTRIBUTES,
    log: () => undefined,
    port: 0,
    uiPort: null,
    dynamicConfig: {
      ...TIME_MAY_BE_SKIPPED,
      'limit.historyCount.suggestContinueAsNew': EVENTS_BEFORE_A_NEW_RUN,
    },
  });
  const connection = await Connection.connect({ address: temporal.address });
  const client = new Client({ connection });
  const engines = {
    real: createRefundEngine(client),
    skipped: createRefundEngine(clientThatSkipsTime(connection)),
  };
  const fakes = fakeActivities();
  const native = await NativeConnection.connect({ address: temporal.address });
  const workers = await Promise.all([
    Worker.create({
      connection: native,
      taskQueue: REFUND_TASK_QUEUE,
      workflowBundle: { codePath: workflowBundlePath() },
      activities: { ...fakes.ledger },
    }),
    Worker.create({
      connection: native,
      taskQueue: providerTaskQueue('picpay'),
      activities: { ...fakes.provider },
    }),
  ]);
  const runs = workers.map((worker) => worker.run());
  return {
    cast: fakes.cast,
    request: (start, time = 'real') =>
      engines[time].requestRefund(proven('start', start), {
        provider: 'picpay',
        paymentId: 'pay_1',
        reference: null,
        amountMinor: 1050,
        deadlineMs: null,
        summary: 'Refund through picpay: 10.50 BRL',
      }),
    hint: (refundId, source) => engines.real.hint(refundId, source),
    handleOf: (refundId) => client.workflow.getHandle<RefundWorkflow>(refundWorkflowId(refundId)),
    close: async () => {
      for (const worker of workers) worker.shutdown();
      await Promise.all(runs);
      await native.close();
      await connection.close();
      await temporal.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export function aStart(members: Partial<RefundStart> = {}): RefundStart {
  return {
    refundId: `rfd_${randomUUID()}`,
    actor: 'ana',
    idempotencyKey: 'k',
    fingerprint: 'f',
    requestId: 'req_1',
    askId: 'ask_1',
    providerEnabled: true,
    admitUntilMs: Date.now() + 60_000,
    request: {
      payment: { paymentId: 'pay_1' },
      amountMinor: 1050,
      currency: 'BRL',
      reason: 'duplicate',
      description: null,
      reference: null,
      metadata: {},
      expectedRefundableMinor: null,
    },
    ...members,
  };
}
