import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { Client, Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import {
  createDeliveryActivities,
  createLedgerActivities,
  createProviderActivities,
} from '../activities/index.js';
import { OUTBOUND_TASK_QUEUE } from '../workflows/delivery-messages.js';
import { providerTaskQueue, REFUND_TASK_QUEUE } from '../workflows/messages.js';
import { readServiceConfig } from './config.js';
import { freePort } from './embedded/ports.js';
import { isDatabaseUp } from './ledger/readiness.js';
import { createLogger } from './logger.js';
import { createWorkerMetrics } from './metrics/worker-metrics.js';
import { ATTEMPTS_AT_ONCE } from './outbound/turns.js';
import { readAsNothing, sealingConverter } from './sealing/data-converter.js';
import { tellStartupFailure } from './startup-failure.js';
import {
  registerSearchAttributes,
  temporalTarget,
  workflowBundleFile,
  type TemporalTarget,
} from './temporal.js';
import { upkeepTasks } from './upkeep/tasks.js';
import { keepUp } from './upkeep/upkeep.js';
import { serveWorkerHealth } from './worker-health.js';
import {
  activityDeps,
  buildParts,
  deliveryDeps,
  ledgerMetrics,
  refuseWithoutAuditKeys,
  type Parts,
} from './wiring.js';

/** A call may wait for its confirmation: three seconds with nothing to do. */
const CALLS_AT_ONCE = 200;
/**
 * Temporal's library keeps the stack of every promise of a workflow, a fifth of what its thread does. This many frames
 * still say where; errors outside workflows keep all of theirs.
 */
const WORKFLOW_STACK_FRAMES = 4;
const DRAIN_WITHIN = '20s';
const RESTART_AFTER_MS = 1_000;
const UPKEEP_ENDS_WITHIN_MS = 3_000;

/** `npm run start:worker`: polls Temporal until SIGTERM; outlives the loss of Temporal and PostgreSQL. */
async function main(): Promise<void> {
  const log = createLogger('worker');
  const config = readServiceConfig(process.env);
  const target = temporalTarget(config, process.env);
  const parts = buildParts(config, log);
  await refuseWithoutAuditKeys(config, parts);
  setFlagsFromString(`--stack-trace-limit=${WORKFLOW_STACK_FRAMES}`);
  const temporalMetrics = `127.0.0.1:${await freePort(0)}`;
  Runtime.install({
    shutdownSignals: [],
    logger: sdkLogger(log),
    telemetryOptions: {
      metrics: {
        prometheus: {
          bindAddress: temporalMetrics,
          countersTotalSuffix: true,
          useSecondsForDurations: true,
          unitSuffix: true,
        },
      },
    },
  });

  const stopping = new AbortController();
  const running: { workers: readonly Worker[] } = { workers: [] };
  const stop = (): void => {
    stopping.abort();
    for (const worker of running.workers) shutdown(worker);
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);

  const metrics = createWorkerMetrics(
    ledgerMetrics(parts),
    [...parts.providers.keys()],
    `http://${temporalMetrics}/metrics`,
  );
  const health = await serveWorkerHealth(config.host, config.workerHealthPort, {
    askDatabase: () => isDatabaseUp(parts.db),
    polls: () => allPoll(running.workers),
    exposeMetrics: metrics.expose,
  });
  log.info({ port: config.workerHealthPort }, 'worker health is served');

  const deps = activityDeps(config, parts, log, metrics.observe);
  const connection = Connection.lazy(target.connection);
  const dataConverter = sealingConverter(
    config.payloadKeys,
    readAsNothing((workflowId) => log.warn({ workflowId }, 'a payload that nobody sealed is not believed')),
  );
  const client = new Client({ connection, namespace: target.namespace, dataConverter });
  const { db, providers } = parts;
  const { nowMs } = deps;
  const tasks = upkeepTasks({
    observe: metrics.observe,
    timeZone: parts.policy.window.timeZone,
    db,
    connection,
    client,
    providers: [...providers.keys()],
    nowMs,
    log,
  });
  const upkeep = keepUp({ db, nowMs, log }, tasks, stopping.signal);
  while (!stopping.signal.aborted) {
    try {
      await runWorkers(
        target,
        dataConverter,
        createLedgerActivities(deps),
        createProviderActivities(deps),
        createDeliveryActivities(deliveryDeps(config, parts, log, metrics.observe)),
        parts,
        running,
        () => {
          if (stopping.signal.aborted) stop();
          log.info('polling');
        },
      );
    } catch (error) {
      log.error({ err: error }, 'workers stopped; starting them again');
      await delay(RESTART_AFTER_MS);
    } finally {
      running.workers = [];
    }
  }
  health.close();
  await Promise.race([upkeep, delay(UPKEEP_ENDS_WITHIN_MS)]);
  await parts.close();
  log.info('drained');
  // Closing the client's channel instead would throw out of a retry that still runs while Temporal is away.
  process.exit(0);
}

/** One worker for workflows and ledger steps, one a provider for the calls there, one for outbound webhooks. */
async function runWorkers(
  target: TemporalTarget,
  dataConverter: DataConverter,
  ledgerActivities: object,
  providerActivities: object,
  deliveryActivities: object,
  parts: Parts,
  running: { workers: readonly Worker[] },
  started: () => void,
): Promise<void> {
  const client = await Connection.connect(target.connection);
  await registerSearchAttributes(client, target.namespace);
  await client.close();
  const connection = await NativeConnection.connect(target.connection);
  try {
    const { namespace } = target;
    const everywhere = { connection, namespace, dataConverter, shutdownGraceTime: DRAIN_WITHIN };
    running.workers = await Promise.all([
      Worker.create({
        ...everywhere,
        taskQueue: REFUND_TASK_QUEUE,
        workflowBundle: { codePath: workflowBundleFile() },
        activities: ledgerActivities,
        // A worker that dies mid-task is replaced sooner when few tasks stick to it for long.
        stickyQueueScheduleToStartTimeout: '5s',
      }),
      ...[...parts.providers.keys()].map((name) =>
        Worker.create({
          ...everywhere,
          taskQueue: providerTaskQueue(name),
          activities: providerActivities,
          maxConcurrentActivityTaskExecutions: CALLS_AT_ONCE,
        }),
      ),
      Worker.create({
        ...everywhere,
        taskQueue: OUTBOUND_TASK_QUEUE,
        activities: deliveryActivities,
        maxConcurrentActivityTaskExecutions: ATTEMPTS_AT_ONCE,
      }),
    ]);
    const runs = running.workers.map((worker) => worker.run());
    started();
    try {
      await Promise.all(runs);
    } catch (error) {
      for (const worker of running.workers) shutdown(worker);
      await Promise.allSettled(runs);
      throw error;
    }
  } finally {
    await connection.close();
  }
}

/** The SDK's own warnings, in the service's own log. */
function sdkLogger(log: Logger): DefaultLogger {
  return new DefaultLogger('WARN', ({ level, message, meta }) => {
    log[level === 'ERROR' ? 'error' : 'warn']({ ...meta }, message);
  });
}

function shutdown(worker: Worker): void {
  if (worker.getState() === 'RUNNING') worker.shutdown();
}

function allPoll(workers: readonly Worker[]): boolean {
  return workers.length > 0 && workers.every((worker) => worker.getState() === 'RUNNING');
}

try {
  await main();
} catch (error) {
  tellStartupFailure(error);
}
