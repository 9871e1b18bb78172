import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Client } from '@temporalio/client';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import type { KeyRing } from '../src/config.js';
import { findTemporalBinary } from '../src/embedded/temporal-binary.js';
import { createApiKey } from '../src/ledger/keys.js';
import { readAsNothing, refuseByThrowing, sealingConverter } from '../src/sealing/data-converter.js';
import { openPayload, sealPayload } from '../src/sealing/sealed-payload.js';
import { refundIdOfKey } from '../src/signing/refund-id.js';
import { startDeliveries } from '../src/upkeep/deliveries.js';
import { resumeOrphans } from '../src/upkeep/orphans.js';
import {
  ensureReconciliationSchedule,
  RECONCILIATION_SCHEDULE_ID,
} from '../src/upkeep/reconciliation-schedule.js';
import { REFUND_TASK_QUEUE, refundWorkflowId } from '../workflows/messages.js';
import { assertBooks } from './setup/books.js';
import { until } from './setup/eventually.js';
import { forgerAt, holdable, type Forger } from './setup/forger.js';
import {
  act,
  askForRefund,
  extend,
  standingOf,
  startServiceUnder,
  trailOf,
  vote,
  type Asked,
} from './setup/people-at-the-door.js';
import { workflowBundlePath } from './setup/real-parts.js';
import { isFinal, refundWhen, registerPayment, type Service } from './setup/service.js';

const AMOUNT = 424_242;
const POLICY = { approval: { rules: [{ when: { amount_gte: 1 }, approvals: 2 }] } };
const FIRST = { id: 'first', secret: Buffer.alloc(32, 1) };
const SECOND = { id: 'second', secret: Buffer.alloc(32, 2) };
const ring = (...keys: KeyRing['keys']): KeyRing => ({ keys, acceptsPlain: false });
const setting = ({ id, secret }: typeof FIRST): string => `${id}:${secret.toString('base64')}`;

jest.setTimeout(40_000);

let service: Service;
let forger: Forger;
/** Reaches Temporal, and has no key. */
let stranger: Client;
const { before: heldUntilReleased, hold, releaseAll } = holdable();
beforeAll(async () => {
  service = await startServiceUnder(
    POLICY,
    {},
    {
      PAYLOAD_KEYS: `${setting(FIRST)},${setting(SECOND)}`,
      WEBHOOK_ALLOW_PRIVATE: 'true',
    },
  );
  await service.stopWorkers();
  await service.startWorkers({ before: heldUntilReleased });
  forger = forgerAt(service);
  stranger = new Client({ connection: service.client.connection });
});
afterAll(async () => {
  releaseAll();
  await assertBooks(service.db);
  await service.close();
});

/** What whoever has no key reads of a refusal. */
const SEALED_FAILURE = 'Unknown encoding: binary/encrypted';

/** What is told of a refund by people, and by nobody else. */
const PEOPLE = {
  requester: 'rita.souza@example.com',
  approver: 'ana.lima@example.com',
  rejecter: 'bruno.dias@example.com',
  description: 'Maria Oliveira, CPF 123.456.789-09, wants it back',
  comment: 'I spoke to Maria on the phone',
  metadata: { customer: 'maria.oliveira@example.com' },
};
const READABLE = /rita|ana\.lima|bruno|maria|oliveira|123\.456|phone|@example|424242|4\.?242[.,]42/i;

describe('a history', () => {
  it('holds nothing readable but what is listed, whatever people wrote and whatever failed', async () => {
    const url = `http://127.0.0.1:1/for/${PEOPLE.requester}`;
    const endpoint = await service.call('POST', '/v1/webhook-endpoints', { role: 'admin', body: { url } });
    const payment = await registerPayment(service, 'efi', 2 * AMOUNT);
    await service.simulators.inject('efi', { operation: 'submit', name: 'reset_after_effect' });
    const asked = await service.call('POST', '/v1/refunds', {
      actor: PEOPLE.requester,
      idempotencyKey: 'of-maria-oliveira',
      body: {
        payment_id: payment.id,
        amount: AMOUNT,
        reason: 'requested_by_customer',
        description: PEOPLE.description,
        metadata: PEOPLE.metadata,
      },
    });
    const { id } = asked.body;
    const contentHash = (asked.body['approval'] as { content_hash: string }).content_hash;
    const body = { content_hash: contentHash, comment: PEOPLE.comment };
    const approver = 'approver' as const;
    await extend(service, id, new Date(Date.now() + 9 * 86_400_000).toISOString());
    await act(service, id, 'approve', { actor: PEOPLE.requester, role: approver, body });
    await act(service, id, 'approve', { actor: PEOPLE.approver, role: approver, body });
    await expect(forger.tell(id, 'vote', { body: { actor: PEOPLE.rejecter } })).rejects.toThrow();
    await service.call('GET', `/v1/refunds/${id}?refresh=true`);
    await act(service, id, 'approve', { actor: PEOPLE.rejecter, role: approver, body });
    await refundWhen(service, id, isFinal);
    // And one whose run fails, with a sealed start that is not its own.
    const failed = `rfd_${randomUUID()}`;
    await forger.start(failed, { args: [await forger.startOf(id)], memo: { of: PEOPLE.requester } });
    await expect(forger.handleOf(failed).result()).rejects.toThrow();

    // And what else there is: news that nobody takes, and a comparison with the providers.
    await startDeliveries(service.db, service.client, Date.now());
    await service.call('POST', '/v1/reconciliations', {
      role: 'operator',
      actor: PEOPLE.requester,
      body: {},
    });
    const deliveries = service.db.selectFrom('webhook_deliveries').select('attempts');
    await until(async () => (await deliveries.execute()).some(({ attempts }) => attempts > 0));
    await service.call('DELETE', `/v1/webhook-endpoints/${endpoint.body.id}`, { role: 'admin' });
    const runs = service.db.selectFrom('reconciliations').select('status');
    await until(async () => (await runs.execute()).every(({ status }) => status === 'completed'));

    const ids = await knownWorkflows();
    expect(new Set(ids.map((workflowId) => workflowId.split('/', 1)[0]))).toEqual(
      new Set(['refund', 'delivery', 'reconciliation']),
    );
    const shown = (await Promise.all(ids.map(shownOf))).flat();
    const leaves = shown.flatMap((message) => [...leavesOf(message)]);
    const sealed = leaves.filter(({ kind }) => kind === 'sealed');
    expect(sealed.length).toBeGreaterThan(30);
    const unsealed = leaves.filter(({ kind }) => kind === 'unsealed');
    expect(unsealed.filter(({ path }) => path !== STEP_RECORD)).toEqual([]);
    const recorded = unsealed.flatMap(({ text }) => Object.keys(JSON.parse(text) as object));
    expect([...new Set(recorded)].filter((name) => !PLAIN_OF_A_STEP.has(name))).toEqual([]);
    const texts = leaves.filter(({ kind }) => kind === 'text' || kind === 'searchable');
    expect([...new Set(texts.map(({ path }) => path))].filter((path) => !PLAIN.has(path))).toEqual([]);
    const readable = leaves.filter(
      ({ kind, path, text }) => kind !== 'sealed' && READABLE.test(text) && path !== 'RefundAmount',
    );
    expect(readable).toEqual([]);
    const failures = texts.filter(({ path }) => /(?:failure|lastFailure)\.message$/i.test(path));
    expect(new Set(failures.map(({ text }) => text))).toEqual(new Set(['Encoded failure']));
  });

  it('is replayed by whoever has the key', async () => {
    const asked = await askForRefund(service);
    await act(service, asked.id, 'reject', {
      actor: 'ana',
      role: 'approver',
      body: { content_hash: asked.contentHash },
    });
    await refundWhen(service, asked.id, isFinal);
    const history = await forger.handleOf(asked.id).fetchHistory();
    const replay = (keys: KeyRing | null) =>
      Worker.runReplayHistory(
        {
          workflowBundle: { codePath: workflowBundlePath() },
          dataConverter: sealingConverter(keys, refuseByThrowing),
        },
        history,
        refundWorkflowId(asked.id),
      );
    await expect(replay(ring(SECOND, FIRST))).resolves.toBeUndefined();
    await expect(replay(ring(SECOND))).rejects.toThrow();
  });

  it('shows a history in Temporal’s own command line', async () => {
    const asked = await askForRefund(service);
    const temporal = await findTemporalBinary(tmpdir(), () => undefined);
    const startIn = async (...more: string[]): Promise<string> => {
      const place = ['--address', service.temporal.address, '--workflow-id', refundWorkflowId(asked.id)];
      const args = ['workflow', 'show', '--output', 'json', ...place, ...more];
      const { stdout } = await promisify(execFile)(temporal, args, { env: { HOME: tmpdir() } });
      const { events } = JSON.parse(stdout) as ShownHistory;
      const { input } = events[0]!.workflowExecutionStartedEventAttributes;
      return Buffer.from(input.payloads[0].data, 'base64').toString();
    };
    const who = { actor: 'olga', roles: ['operator'] as const, nowMs: Date.now() };
    const { key } = await createApiKey(service.db, who);
    const opened = await startIn('--codec-endpoint', `${service.url}/codec`, '--codec-auth', `Bearer ${key}`);
    expect(opened).toContain(asked.idempotencyKey);
    expect(await startIn()).not.toContain(asked.idempotencyKey);
  });
});

describe('a new key', () => {
  it('takes over in the middle of a refund, and who lacks it decides nothing', async () => {
    const asked = await askForRefund(service);
    await vote(service, asked, 'ana');
    await service.stopWorkers();
    await service.startWorkers({ payloadKeys: ring(SECOND, FIRST) });
    await vote(service, asked, 'bruno');
    await refundWhen(service, asked.id, isFinal);
    const used = new Set(
      (await shownOf(refundWorkflowId(asked.id)))
        .flatMap((shown) => [...leavesOf(shown)])
        .map(({ keyId }) => keyId),
    );
    expect([...used].filter((keyId) => keyId !== undefined).sort()).toEqual(['first', 'second']);

    // Too early without the old one: the run stands still, and goes on where it was.
    const other = await askForRefund(service);
    await service.stopWorkers();
    await service.startWorkers({ payloadKeys: ring(SECOND) });
    await forger.handleOf(other.id).signal('hint', { body: { source: 'webhook' } });
    await until(async () => (await troubledTasksOf(other.id)) > 0);
    await service.stopWorkers();
    await service.startWorkers({ before: heldUntilReleased });
    await until(async () => (await vote(service, other, 'ana')).status === 200);
    await succeeds(other, 1);
  });
});

describe('without a key', () => {
  it('a start by hand ends at once, and leaves the id to its refund', async () => {
    const payment = await registerPayment(service, 'efi', 2_000);
    const idempotencyKey = randomUUID();
    const refundId = refundIdOfKey('rita', idempotencyKey);
    const starts: unknown[][] = [
      [{ body: { refundId, resume: true } }],
      [{ body: { refundId } }],
      ['x'],
      [null],
      [],
    ];
    for (const args of starts) {
      await startUnsealed(refundId, args);
      await expect(forger.handleOf(refundId).result()).rejects.toMatchObject({
        cause: { type: 'ForeignWorkflowId' },
      });
    }
    const body = { payment_id: payment.id, amount: 1_000, reason: 'duplicate' };
    const answer = await service.call('POST', '/v1/refunds', { idempotencyKey, body });
    expect(answer).toMatchObject({ status: 202, body: { id: refundId, status: 'requires_approval' } });
  });

  it('a start in the place of a running one costs the refund its run, which the sweep gives back', async () => {
    const asked = await askForRefund(service);
    const before = await standingOf(service, asked);
    await startUnsealed(asked.id, [{ body: { refundId: asked.id, resume: true } }]);
    await expect(forger.handleOf(asked.id).result()).rejects.toThrow();
    await resumeOrphans(service.db, service.client);
    expect(await standingOf(service, asked)).toEqual(before);
    await succeeds(asked);
  });

  it('messages by hand are refused or unheard, altered ones too, and the refund goes on', async () => {
    const asked = await askForRefund(service);
    await vote(service, asked, 'ana');
    const genuine = await forger.messageOf(asked.id, 'vote');
    const before = await standingOf(service, asked);
    const trail = await trailOf(service, asked.id);
    const run = stranger.workflow.getHandle(refundWorkflowId(asked.id));
    for (const name of ['vote', 'extend', 'cancel', 'resolve', 'admission']) {
      await expect(run.executeUpdate<unknown, [unknown]>(name, { args: [genuine] })).rejects.toThrow(
        SEALED_FAILURE,
      );
    }
    for (const name of ['hint', 'retry']) await run.signal(name, { body: { source: 'webhook' } });
    await signalWith(asked.id, altered(sealPayload(defaultPayloadConverter.toPayload(genuine), ring(FIRST))));
    expect(await forger.handleOf(asked.id).query('stage')).toBe('approving');
    expect(await standingOf(service, asked)).toEqual(before);
    expect(await trailOf(service, asked.id)).toEqual(trail);
    expect(await troubledTasksOf(asked.id)).toBe(0);
    await succeeds(asked, 1);
  });

  it('what a schedule would hand over is not believed, and is written anew', async () => {
    const dataConverter = sealingConverter(
      ring(FIRST),
      readAsNothing(() => undefined),
    );
    const worker = new Client({ connection: service.client.connection, dataConverter });
    const args = [{ body: { reconciliationId: null } }];
    await stranger.schedule.create({
      scheduleId: RECONCILIATION_SCHEDULE_ID,
      spec: { calendars: [{ hour: 3 }] },
      action: { type: 'startWorkflow', workflowType: 'reconciliation', taskQueue: REFUND_TASK_QUEUE, args },
    });
    await ensureReconciliationSchedule(worker, { timeZone: 'UTC' });
    const schedule = worker.schedule.getHandle(RECONCILIATION_SCHEDULE_ID);
    expect((await schedule.describe()).action).toMatchObject({ args: [] });
    await schedule.trigger();
    await until(async () => {
      const [run] = (await schedule.describe()).info.recentActions;
      if (!run) return false;
      await worker.workflow.getHandle(run.action.workflow.workflowId).result();
      return true;
    });
    const byHand = { workflowId: 'reconciliation/by-hand', taskQueue: REFUND_TASK_QUEUE, args };
    await stranger.workflow.start('reconciliation', byHand);
    const refusal = worker.workflow.getHandle(byHand.workflowId).result();
    await expect(refusal).rejects.toMatchObject({ cause: { type: 'MalformedStart' } });
  });

  it('an answer in the place of a step is none, and is resolved by reading', async () => {
    const asked = await askForRefund(service);
    const release = hold('submit', asked.id);
    await vote(service, asked, 'ana');
    await vote(service, asked, 'bruno');
    await forger.complete(asked.id, 'submit', { result: { kind: 'done', attempt: 1 }, wakeRefundId: null });
    release();
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
    expect(service.simulators.refundsOf(asked.provider, asked.providerPaymentId)).toHaveLength(1);
    expect(await troubledTasksOf(asked.id)).toBe(0);
  });
});

/** As `temporal workflow show` prints it. */
interface ShownHistory {
  readonly events: readonly {
    readonly workflowExecutionStartedEventAttributes: {
      readonly input: { readonly payloads: readonly [{ readonly data: string }] };
    };
  }[];
}

async function startUnsealed(refundId: string, args: unknown[]): Promise<void> {
  await stranger.workflow.start('refund', {
    taskQueue: REFUND_TASK_QUEUE,
    workflowId: refundWorkflowId(refundId),
    args,
    workflowIdConflictPolicy: 'TERMINATE_EXISTING',
  });
}

async function signalWith(refundId: string, payload: Payload): Promise<void> {
  await service.client.workflowService.signalWorkflowExecution({
    namespace: service.client.options.namespace,
    workflowExecution: { workflowId: refundWorkflowId(refundId) },
    signalName: 'hint',
    input: { payloads: [payload] },
  });
}

function altered(payload: Payload): Payload {
  const data = Buffer.from(payload.data ?? []);
  data.writeUInt8(data.readUInt8(data.length - 1) ^ 1, data.length - 1);
  return { metadata: payload.metadata ?? {}, data };
}

async function succeeds(asked: Asked, votes = 0): Promise<void> {
  for (const actor of ['ana', 'bruno'].slice(votes)) {
    expect(await vote(service, asked, actor)).toMatchObject({ status: 200 });
  }
  expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
}

/** Workflow tasks that failed, the one under way too. */
async function troubledTasksOf(refundId: string): Promise<number> {
  const handle = forger.handleOf(refundId);
  const [{ events }, { raw }] = await Promise.all([handle.fetchHistory(), handle.describe()]);
  const failed = (events ?? []).filter((event) => event.workflowTaskFailedEventAttributes).length;
  return failed + Math.max(0, (raw.pendingWorkflowTask?.attempt ?? 1) - 1);
}

/** Ids of all workflows that there are. */
async function knownWorkflows(): Promise<string[]> {
  const ids: string[] = [];
  for await (const { workflowId } of service.client.workflow.list()) ids.push(workflowId);
  return ids;
}

/** All that Temporal keeps of a workflow. */
async function shownOf(workflowId: string): Promise<object[]> {
  const execution = { workflowId };
  const { namespace } = service.client.options;
  const { workflowService } = service.client;
  const [history, description] = await Promise.all([
    workflowService.getWorkflowExecutionHistory({ namespace, execution }),
    workflowService.describeWorkflowExecution({ namespace, execution }),
  ]);
  return [history.history ?? {}, description];
}

interface Leaf {
  readonly path: string;
  readonly kind: 'sealed' | 'unsealed' | 'searchable' | 'text';
  readonly text: string;
  /** Of the key that it is sealed with. */
  readonly keyId?: string;
}

function* leavesOf(value: unknown, path: readonly string[] = []): Generator<Leaf> {
  const here = path.slice(-2).join('.');
  if (typeof value === 'string') {
    if (value !== '') yield { path: here, kind: 'text', text: value };
  } else if (value instanceof Uint8Array) {
    if (value.length > 0) yield { path: here, kind: 'text', text: Buffer.from(value).toString('latin1') };
  } else if (isPayload(value)) {
    const text = Buffer.from(value.data ?? []).toString('latin1');
    const isSearchable = path.includes('searchAttributes');
    const isSealed = openPayload(value, ring(FIRST, SECOND)).kind === 'opened';
    const keyId = Buffer.from(value.metadata?.['encryption-key-id'] ?? []).toString();
    if (isSearchable) yield { path: path.at(-1) ?? '', kind: 'searchable', text };
    else if (isSealed) yield { path: path.join('.'), kind: 'sealed', text, keyId };
    else yield { path: path.join('.'), kind: 'unsealed', text };
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      yield* leavesOf(member, Array.isArray(value) ? path : [...path, name]);
    }
  }
}

function isPayload(value: unknown): value is Payload {
  return typeof value === 'object' && value !== null && 'metadata' in value && 'data' in value;
}

/** The SDK's own words about a local step: which one, when, the how-manieth try. */
const STEP_RECORD = 'events.markerRecordedEventAttributes.details.data.payloads';
const PLAIN_OF_A_STEP = new Set<string>([
  'seq',
  'attempt',
  'activity_id',
  'activity_type',
  'complete_time',
  'backoff',
  'original_schedule_time',
]);

/** Everything that may be read without a key. */
const PLAIN = new Set<string>([
  // What people search by.
  ...[
    'RefundStatus',
    'RefundProvider',
    'RefundPaymentId',
    'RefundReference',
    'RefundAmount',
    'RefundDeadline',
  ],
  ...['RefundVotesMissing', 'RefundApprovalUntil', 'BuildIds'],
  // Which refund, which run, which step, in whose turn.
  ...[
    'workflowExecutionStartedEventAttributes.workflowId',
    'execution.workflowId',
    'rootExecution.workflowId',
  ],
  ...['execution.runId', 'rootExecution.runId', 'points.runId', 'workflowExecutionInfo.firstRunId'],
  'workflowExecutionStartedEventAttributes.originalExecutionRunId',
  'workflowExecutionStartedEventAttributes.firstExecutionRunId',
  ...['meta.updateId', 'inboundUpdate.inboundUpdateId'],
  'workflowExecutionUpdateAcceptedEventAttributes.protocolInstanceId',
  'workflowExecutionUpdateAcceptedEventAttributes.acceptedRequestMessageId',
  'workflowTaskStartedEventAttributes.requestId',
  'activityTaskStartedEventAttributes.requestId',
  'workflowExecutionSignaledEventAttributes.requestId',
  ...['activityTaskScheduledEventAttributes.activityId', 'pendingActivities.activityId'],
  ...['timerStartedEventAttributes.timerId', 'timerCanceledEventAttributes.timerId'],
  // Names of workflows, steps, messages and queues; the class of a failure.
  ...['workflowType.name', 'type.name', 'activityType.name', 'input.name'],
  'workflowExecutionSignaledEventAttributes.signalName',
  ...['taskQueue.name', 'taskQueue.normalName', 'workflowExecutionInfo.taskQueue'],
  ...['markerRecordedEventAttributes.markerName', 'applicationFailureInfo.type'],
  ...['failure.message', 'lastFailure.message', 'failure.source', 'lastFailure.source'],
  // Processes and builds of ours.
  'workflowExecutionStartedEventAttributes.identity',
  ...['workflowTaskStartedEventAttributes.identity', 'workflowTaskCompletedEventAttributes.identity'],
  ...['activityTaskStartedEventAttributes.identity', 'activityTaskCompletedEventAttributes.identity'],
  ...['workflowExecutionSignaledEventAttributes.identity', 'timerCanceledEventAttributes.identity'],
  'pendingActivities.lastWorkerIdentity',
  ...['meta.identity', 'sdkMetadata.sdkName', 'sdkMetadata.sdkVersion'],
  ...['workerVersion.buildId', 'points.buildId', 'mostRecentWorkerVersionStamp.buildId'],
]);
