import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Client, Connection } from '@temporalio/client';
import { createApp } from './api/app.js';
import { createRefundEngine } from './api/refund-engine.js';
import { readServiceConfig } from './config.js';
import { NEWEST_MIGRATION } from './ledger/readiness.js';
import { createLogger } from './logger.js';
import { createApiMetrics } from './metrics/api-metrics.js';
import { refuseByThrowing, sealingConverter } from './sealing/data-converter.js';
import { tellStartupFailure } from './startup-failure.js';
import { temporalTarget } from './temporal.js';
import { buildParts, ledgerMetrics, refuseWithoutAuditKeys } from './wiring.js';

const DRAIN_WITHIN_MS = 25_000;
const SWEEP_EVERY_MS = 100;

/** `npm run start:api`: serves until SIGTERM; starts without PostgreSQL and Temporal, and outlives their loss. */
async function main(): Promise<void> {
  const log = createLogger('api');
  const config = readServiceConfig(process.env);
  const target = temporalTarget(config, process.env);
  const parts = buildParts(config, log);
  await refuseWithoutAuditKeys(config, parts);
  const connection = Connection.lazy(target.connection);
  const dataConverter = sealingConverter(config.payloadKeys, refuseByThrowing);
  const client = new Client({ connection, namespace: target.namespace, dataConverter });
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

  // Before it listens: whoever stops it early must not wait for a signal that was missed.
  const asked = Promise.race(['SIGTERM', 'SIGINT'].map((event) => once(process, event)));
  await app.listen(config.port, config.host);
  log.info({ url: await app.getUrl() }, 'the API listens');
  await asked;

  await drain(app);
  await parts.close();
  log.info('drained');
  // Closing Temporal's channel instead would throw out of the retries that still run while Temporal is away.
  process.exit(0);
}

/** Accepts nothing more, and lets what is under way finish; an idle connection is no reason to wait. */
async function drain(app: NestFastifyApplication): Promise<void> {
  const server = app.getHttpServer();
  const closed = once(server, 'close');
  server.close();
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_EVERY_MS);
  await Promise.race([closed, delay(DRAIN_WITHIN_MS, undefined, { ref: false })]);
  clearInterval(sweep);
  await app.close();
}

try {
  await main();
} catch (error) {
  tellStartupFailure(error);
}
