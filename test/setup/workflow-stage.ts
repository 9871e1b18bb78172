import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { RefundStart } from '../../activities/interface.js';
import { createRefundEngine, type RefundEngine } from '../../src/api/refund-engine.js';
import type { SagaTerms, Stage } from '../../src/domain/saga-state.js';
import { startTemporal } from '../../src/embedded/temporal.js';
import {
  providerTaskQueue,
  REFUND_TASK_QUEUE,
  refundWorkflowId,
  SEARCH_ATTRIBUTES,
  stageQuery,
  type RefundWorkflow,
} from '../../workflows/messages.js';
import { until } from './eventually.js';
import { fakeActivities, type Activities, type FakeActivities, type Held } from './fake-activities.js';
import { proven } from './front-door-keys.js';
import { workflowBundlePath } from './real-parts.js';
import { clientThatSkipsTime, TIME_MAY_BE_SKIPPED } from './skipped-time.js';

/** So soon the server suggests a new run, instead of after 4,096 events. */
const EVENTS_BEFORE_A_NEW_RUN = '120';

/** The real workflow on a real server, with fake activities around it. */
export interface WorkflowStage {
  readonly cast: FakeActivities['cast'];
  /** The calls of a refund's activities so far, in order. */
  readonly seenOf: FakeActivities['seenOf'];
  /** Casts a refund and asks for it; its id, once it is admitted. */
  begin(terms: Partial<SagaTerms>, parts: Partial<Activities>, how?: How): Promise<string>;
  /** As the front door asks for it; its workflow waits in real time, or its clock jumps to whatever is next. */
  request(start: RefundStart, time?: 'real' | 'skipped'): ReturnType<RefundEngine['requestRefund']>;
  hint(refundId: string, source: 'webhook' | 'refresh'): Promise<void>;
  handleOf(refundId: string): WorkflowHandle<RefundWorkflow>;
  resultOf(refundId: string): Promise<{ status: string }>;
  /** The same, once each of its runs has been replayed. @throws DeterminismViolationError where one can't be. */
  replayedResultOf(refundId: string): Promise<{ status: string }>;
  stageIs(refundId: string, wanted: Stage): Promise<void>;
  eventsOf(refundId: string): Promise<readonly HistoryEvent[]>;
  detailsOf(refundId: string): Promise<string>;
  foundBy(refundId: string): Promise<Record<string, unknown>>;
  /** Temporal's own cancel request, seen by the workflow. */
  askTemporalToCancel(refundId: string): Promise<void>;
  close(): Promise<void>;
}

type HistoryEvent = temporal.api.history.v1.IHistoryEvent;

type How = Held & { readonly time?: 'real' | 'skipped' };

export async function openWorkflowStage(): Promise<WorkflowStage> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const dataDir = await mkdtemp(join(tmpdir(), 'estorno-workflow-'));
  const temporal = await startTemporal({
    dataDir,
    durable: false,
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
  const request: WorkflowStage['request'] = (start, time = 'real') =>
    engines[time].requestRefund(proven('start', start), {
      provider: 'picpay',
      paymentId: 'pay_1',
      reference: null,
      amountMinor: 1050,
      deadlineMs: null,
      summary: 'Refund through picpay: 10.50 BRL',
    });
  const handleOf: WorkflowStage['handleOf'] = (refundId) =>
    client.workflow.getHandle<RefundWorkflow>(refundWorkflowId(refundId));
  const eventsOf: WorkflowStage['eventsOf'] = async (refundId) =>
    (await handleOf(refundId).fetchHistory()).events ?? [];
  return {
    cast: fakes.cast,
    seenOf: fakes.seenOf,
    begin: async (terms, parts, { time, ...held } = {}) => {
      const start = aStart();
      fakes.cast(start.refundId, terms, parts, held);
      const verdict = await request(start, time);
      if (verdict.kind !== 'admitted') throw new Error(`not admitted: ${verdict.kind}`);
      return start.refundId;
    },
    request,
    hint: (refundId, source) => engines.real.hint(refundId, source),
    handleOf,
    resultOf: (refundId) => handleOf(refundId).result(),
    replayedResultOf: async (refundId) => {
      const result = await handleOf(refundId).result();
      const replays = Worker.runReplayHistories(
        { workflowBundle: { codePath: workflowBundlePath() } },
        runsOf(client, refundWorkflowId(refundId)),
      );
      for await (const { error } of replays) if (error) throw error;
      return result;
    },
    stageIs: (refundId, wanted) => until(async () => (await handleOf(refundId).query(stageQuery)) === wanted),
    eventsOf,
    detailsOf: async (refundId) => {
      const { currentDetails } = await handleOf(refundId).query<{ currentDetails: string }>(
        '__temporal_workflow_metadata',
      );
      return currentDetails;
    },
    foundBy: async (refundId) => {
      const { typedSearchAttributes } = await handleOf(refundId).describe();
      return Object.fromEntries(typedSearchAttributes.getAll().map((pair) => [pair.key.name, pair.value]));
    },
    askTemporalToCancel: async (refundId) => {
      await handleOf(refundId).cancel();
      await until(async () => {
        const events = await eventsOf(refundId);
        const asked = events.findIndex((event) => event.workflowExecutionCancelRequestedEventAttributes);
        return events.slice(asked).some((event) => event.workflowTaskCompletedEventAttributes);
      });
    },
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

/** Oldest first. */
async function* runsOf(client: Client, workflowId: string): AsyncGenerator<ReplayedRun> {
  const { raw } = await client.workflow.getHandle(workflowId).describe();
  let runId = raw.workflowExecutionInfo?.firstRunId;
  while (runId) {
    const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    yield { workflowId, history };
    runId = history.events?.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
  }
}

interface ReplayedRun {
  readonly workflowId: string;
  readonly history: temporal.api.history.v1.IHistory;
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

export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}
