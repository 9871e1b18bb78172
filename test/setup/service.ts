import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Client, Connection } from '@temporalio/client';
import {
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  type WorkflowBundleOption,
} from '@temporalio/worker';
import { pino } from 'pino';
import {
  createDeliveryActivities,
  createLedgerActivities,
  createProviderActivities,
} from '../../activities/index.js';
import { OUTBOUND_TASK_QUEUE } from '../../workflows/delivery-messages.js';
import { createApp } from '../../src/api/app.js';
import { createRefundEngine } from '../../src/api/refund-engine.js';
import { readServiceConfig, type KeyRing, type ServiceConfig } from '../../src/config.js';
import { startTemporal, type RunningTemporal, type TemporalOptions } from '../../src/embedded/temporal.js';
import type { Database } from '../../src/ledger/database.js';
import { createApiKey, type Role } from '../../src/ledger/keys.js';
import { NEWEST_MIGRATION } from '../../src/ledger/readiness.js';
import { createApiMetrics } from '../../src/metrics/api-metrics.js';
import { createWorkerMetrics, type WorkerMetrics } from '../../src/metrics/worker-metrics.js';
import { readPolicy } from '../../src/policy.js';
import { activityDeps, buildParts, deliveryDeps, ledgerMetrics, type Parts } from '../../src/wiring.js';
import { readAsNothing, refuseByThrowing, sealingConverter } from '../../src/sealing/data-converter.js';
import type { SimulatedProvider } from '../../simulators/book.js';
import { startSimulators, type Simulators } from '../../simulators/start.js';
import { providerTaskQueue, REFUND_TASK_QUEUE, SEARCH_ATTRIBUTES } from '../../workflows/messages.js';
import { eventually } from './eventually.js';
import { FRONT_DOOR_KEYS } from './front-door-keys.js';
import { createTestDatabase, workflowBundlePath, type TestDatabase } from './real-parts.js';
import { TIME_MAY_BE_SKIPPED } from './skipped-time.js';

// What workers say of their coming and going would bury what tests say.
Runtime.install({ logger: new DefaultLogger('ERROR') });

/** Quick enough for tests, and in the proportions of the real defaults. */
export const QUICK_SETTINGS = {
  PROVIDER_TIMEOUT_MS: '800',
  PROVIDER_QUIET_MS: '900',
  CONFIRM_POLL_MS: '150',
  CONFIRM_POLL_MAX_MS: '2000',
  RETRY_MAX_MS: '500',
  // One actor stands for many here, and looks again every few milliseconds.
  RATE_LIMIT_PER_SECOND: '10000',
  RATE_LIMIT_BURST: '100000',
};

/** The whole service in this process, over a Temporal server, a database and simulators of its own. */
export interface Service {
  readonly url: string;
  readonly config: ServiceConfig;
  readonly db: Database;
  readonly client: Client;
  readonly simulators: Simulators;
  readonly temporal: RunningTemporal;
  /** What the workers count, as their `/metrics` shows it. */
  readonly workerMetrics: () => Promise<string>;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  startWorkers(deployed?: Deployed): Promise<void>;
  stopWorkers(): Promise<void>;
  /** Another front door at the same address; requests that are under way are answered first. */
  restartApi(): Promise<void>;
  /** A server at the same address that knows nothing. No worker may run meanwhile. */
  replaceTemporal(): Promise<void>;
  close(): Promise<void>;
}

/** In what these workers differ from the first ones; the front door stays as it is. */
export interface Deployed {
  /** What they admit under. */
  readonly policyFile?: string;
  /** What they seal and open with. */
  readonly payloadKeys?: KeyRing;
  readonly workflowBundle?: WorkflowBundleOption;
  /** Asked before each step of a refund, which begins once the answer is there. */
  readonly before?: (activity: string, refundId: string) => Promise<void>;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly idempotencyKey?: string;
  readonly role?: Role;
  readonly actor?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: AnswerBody;
}

/** Answers are read as a client would, by name: what most tests touch is named here, the rest is matched. */
export interface AnswerBody {
  readonly id: string;
  readonly status: string;
  readonly code: string;
  readonly provider_payment_id: string;
  readonly [member: string]: unknown;
}

export async function startService(
  settings: Readonly<Record<string, string>> = {},
  dynamicConfig: Readonly<Record<string, string>> = {},
  ui: UserInterface = NO_UI,
): Promise<Service> {
  const dataDir = await mkdtemp(join(tmpdir(), 'estorno-service-'));
  const [database, temporal, simulators] = await Promise.all([
    createTestDatabase(),
    startTestTemporal(dataDir, 0, dynamicConfig, ui),
    startSimulators({ confirmDelayMs: 100 }),
  ]);
  const config = readServiceConfig({
    ...simulators.env,
    ...QUICK_SETTINGS,
    DATABASE_URL: database.url,
    // What a test writes into Temporal by hand is read, as if it were somebody with the key.
    PAYLOAD_KEYS: `test:${Buffer.alloc(32, 7).toString('base64')},plain`,
    FRONT_DOOR_KEYS,
    AUDIT_KEYS: `test:${Buffer.alloc(32, 9).toString('base64')}`,
    ...settings,
  });
  const log = pino({ level: 'silent' });
  const parts = buildParts(config, log);
  const connection = await Connection.connect({ address: temporal.address });
  const dataConverter = sealingConverter(config.payloadKeys, refuseByThrowing);
  const client = new Client({ connection, dataConverter });
  const startApi = async (port: number): Promise<NestFastifyApplication> => {
    const app = await createApp({
      db: parts.db,
      config,
      policy: parts.policy,
      providers: parts.providers,
      engine: createRefundEngine(client),
      newestMigration: NEWEST_MIGRATION,
      nowMs: () => Date.now(),
      log,
      metrics: createApiMetrics(ledgerMetrics(parts)),
    });
    await app.listen(port, '127.0.0.1');
    return app;
  };
  const app = await startApi(0);
  const url = await app.getUrl();
  simulators.setWebhookTarget(url);
  const workerMetrics = createWorkerMetrics(ledgerMetrics(parts), [...parts.providers.keys()], null);
  return assemble({
    dataDir,
    database,
    temporal,
    simulators,
    config,
    parts,
    workerMetrics,
    client,
    app,
    startApi,
    url,
  });
}

type UserInterface = Pick<TemporalOptions, 'uiPort' | 'uiCodecEndpoint'>;
const NO_UI: UserInterface = { uiPort: null };

function startTestTemporal(
  dataDir: string,
  port: number,
  dynamicConfig: Readonly<Record<string, string>> = {},
  ui: UserInterface = NO_UI,
): Promise<RunningTemporal> {
  return startTemporal({
    dataDir,
    durable: false,
    searchAttributes: SEARCH_ATTRIBUTES,
    log: () => undefined,
    port,
    ...ui,
    dynamicConfig: {
      ...TIME_MAY_BE_SKIPPED,
      // So soon a run whose workflow task fails is shown as one that has problems.
      'system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute': '2',
      ...dynamicConfig,
    },
  });
}

interface Running {
  readonly dataDir: string;
  readonly database: TestDatabase;
  temporal: RunningTemporal;
  readonly simulators: Simulators;
  readonly config: ServiceConfig;
  readonly parts: Parts;
  readonly workerMetrics: WorkerMetrics;
  readonly client: Client;
  app: NestFastifyApplication;
  readonly startApi: (port: number) => Promise<NestFastifyApplication>;
  readonly url: string;
}

async function assemble(running: Running): Promise<Service> {
  const { parts, config, client, url } = running;
  const keys = new Map<string, Promise<string>>();
  const keyOf = (actor: string, role: Role): Promise<string> => {
    const name = `${actor}/${role}`;
    const known =
      keys.get(name) ??
      createApiKey(parts.db, { actor, roles: [role], nowMs: Date.now() }).then((created) => created.key);
    keys.set(name, known);
    return known;
  };
  let stopWorkers: (() => Promise<void>) | null = null;
  const service: Service = {
    url,
    config,
    db: parts.db,
    client,
    simulators: running.simulators,
    temporal: running.temporal,
    workerMetrics: () => running.workerMetrics.expose(),
    call: async (method, path, { body, idempotencyKey, role = 'requester', actor = 'rita' } = {}) => {
      const response = await fetch(url + path, {
        method,
        headers: {
          authorization: `Bearer ${await keyOf(actor, role)}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return {
        status: response.status,
        headers: response.headers,
        body: (await response.json()) as AnswerBody,
      };
    },
    startWorkers: async (deployed) => {
      stopWorkers = await startWorkers(running, deployed);
    },
    restartApi: async () => {
      await running.app.close();
      running.app = await running.startApi(Number(new URL(url).port));
    },
    replaceTemporal: async () => {
      await running.temporal.stop();
      running.temporal = await startTestTemporal(
        running.dataDir,
        Number(new URL(`http://${running.temporal.address}`).port),
      );
    },
    stopWorkers: async () => {
      await stopWorkers?.();
      stopWorkers = null;
    },
    close: async () => {
      await service.stopWorkers();
      await running.app.close();
      await client.connection.close();
      await parts.close();
      await running.simulators.close();
      await running.temporal.stop();
      await running.database.drop();
      await rm(running.dataDir, { recursive: true, force: true });
    },
  };
  await service.startWorkers();
  return service;
}

async function startWorkers(
  { temporal, config, parts: partsAtFirst, workerMetrics }: Running,
  { policyFile, payloadKeys, workflowBundle, before }: Deployed = {},
): Promise<() => Promise<void>> {
  const parts = policyFile === undefined ? partsAtFirst : { ...partsAtFirst, policy: readPolicy(policyFile) };
  const connection = await NativeConnection.connect({ address: temporal.address });
  const dataConverter = sealingConverter(
    payloadKeys ?? config.payloadKeys,
    readAsNothing(() => undefined),
  );
  const deps = activityDeps(config, parts, pino({ level: 'silent' }), workerMetrics.observe);
  const workers = await Promise.all([
    Worker.create({
      connection,
      dataConverter,
      taskQueue: REFUND_TASK_QUEUE,
      workflowBundle: workflowBundle ?? { codePath: workflowBundlePath() },
      activities: heldBack(createLedgerActivities(deps), before),
    }),
    ...[...parts.providers.keys()].map((name) =>
      Worker.create({
        connection,
        dataConverter,
        taskQueue: providerTaskQueue(name),
        activities: heldBack(createProviderActivities(deps), before),
      }),
    ),
    Worker.create({
      connection,
      dataConverter,
      taskQueue: OUTBOUND_TASK_QUEUE,
      activities: createDeliveryActivities(
        deliveryDeps(config, parts, pino({ level: 'silent' }), workerMetrics.observe),
      ),
    }),
  ]);
  const runs = workers.map((worker) => worker.run());
  return async () => {
    for (const worker of workers) worker.shutdown();
    await Promise.all(runs);
    await connection.close();
  };
}

function heldBack<Activities extends object>(activities: Activities, before: Deployed['before']): Activities {
  if (!before) return activities;
  const held = Object.entries(activities).map(([name, run]: [string, (input: HeldInput) => unknown]) => [
    name,
    async (input: HeldInput) => {
      await before(name, input.refundId ?? input.body?.refundId ?? '');
      return run(input);
    },
  ]);
  return Object.fromEntries(held) as Activities;
}

interface HeldInput {
  readonly refundId?: string;
  /** Of an admission. */
  readonly body?: { readonly refundId: string };
}

/** Registers a payment that the simulator has just made. */
export async function registerPayment(
  service: Service,
  provider: SimulatedProvider,
  amount: number,
): Promise<{ id: string; providerPaymentId: string }> {
  const made = service.simulators.createPayment(provider, { amountMinor: amount });
  const { status, body } = await service.call('POST', '/v1/payments', {
    body: {
      provider,
      provider_payment_id: made.providerPaymentId,
      amount,
      currency: made.currency,
      paid_at: made.paidAt,
      ...(made.providerPaymentReference === undefined
        ? {}
        : { provider_payment_reference: made.providerPaymentReference }),
    },
  });
  if (status !== 201) throw new Error(`not registered: ${JSON.stringify(body)}`);
  return { id: body.id, providerPaymentId: body.provider_payment_id };
}

/** The refund once `until` holds; the condition is asked for, not slept for. */
export async function refundWhen(
  service: Service,
  refundId: string,
  until: (refund: AnswerBody) => boolean,
  withinMs = 15_000,
): Promise<AnswerBody> {
  const read = async () => (await service.call('GET', `/v1/refunds/${refundId}`)).body;
  return eventually(read, until, withinMs);
}

export function isFinal(refund: { status: string }): boolean {
  return !['pending', 'requires_approval', 'review'].includes(refund.status);
}
