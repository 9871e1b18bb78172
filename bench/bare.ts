import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { Pool } from 'undici';
import { retried } from '../lab/retries.js';
import { quietPort, type SeatPlace } from '../lab/seats.js';
import { startNode } from '../src/embedded/parts.js';
import { SCHEMA } from './bare/schema.js';
import type { Contender } from './contender.js';
import { AMOUNT_MINOR } from './estorno.js';
import { PATH } from './site.js';

export interface BareOptions extends SeatPlace {
  readonly kind: 'plain' | 'local';
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  readonly provider: { readonly origin: string; readonly apiKey: string };
  readonly workers: number;
}

const CONNECTIONS = 512;
const READY_WITHIN_MS = 60_000;
const STOPS_WITHIN_MS = 2_000;

/** What one would write from Temporal's samples: its API and its workers. */
export async function startBare(options: BareOptions): Promise<Contender> {
  const { databaseUrl, provider } = options;
  const db = new pg.Pool({ connectionString: databaseUrl, application_name: 'bench', max: 1 });
  await db.query(SCHEMA);
  await db.query('TRUNCATE bare.refunds, bare.payments');
  const port = await quietPort();
  const origin = `http://127.0.0.1:${port}`;
  const start = (part: 'api' | 'worker', name: string) =>
    startNode({
      name,
      script: join(options.builtDir, 'bench', 'bare', `${part}.js`),
      flags: [],
      env: {
        PATH,
        NODE_ENV: 'production',
        DATABASE_URL: databaseUrl,
        TEMPORAL_ADDRESS: options.temporalAddress,
        PROVIDER_ORIGIN: provider.origin,
        PAGOU_API_KEY: provider.apiKey,
        PORT: String(port),
        BARE_KIND: options.kind,
      },
      dataDir: options.dataDir,
    });
  const api = start('api', 'bare-api');
  const workers = Array.from({ length: options.workers }, (_, at) =>
    start('worker', `bare-worker-${at + 1}`),
  );
  const http = new Pool(origin, { connections: CONNECTIONS, pipelining: 1 });
  await retried(async () => {
    const answer = await http.request({ method: 'GET', path: '/health' });
    await answer.body.dump();
  }, READY_WITHIN_MS);
  return {
    name: options.kind === 'plain' ? 'bare saga' : 'bare, local activities',
    webhookUrl: `${origin}/webhook`,
    pids: { api: [api.pid], worker: workers.map(({ pid }) => pid) },
    register: async (count) => {
      const ids = Array.from({ length: count }, () => randomUUID());
      await db.query('INSERT INTO bare.payments (id, amount) SELECT unnest($1::text[]), $2', [
        ids,
        AMOUNT_MINOR,
      ]);
      return ids;
    },
    ask: async (paymentId) => {
      const answer = await http.request({
        method: 'POST',
        path: '/refunds',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ payment_id: paymentId, amount: AMOUNT_MINOR }),
      });
      const body = (await answer.body.json()) as { readonly id: string };
      if (answer.statusCode !== 202) throw new Error(`a refund was answered ${answer.statusCode}`);
      return { refundId: body.id, workflowId: `bare/${paymentId}` };
    },
    settledSince: async (sinceMs) => {
      const { rows } = await db.query<{ count: number }>(
        'SELECT count(*)::int AS count FROM bare.refunds WHERE asked_at >= $1 AND settled_at IS NOT NULL',
        [new Date(sinceMs)],
      );
      return rows[0]?.count ?? 0;
    },
    instantsSince: async (sinceMs) => {
      const { rows } = await db.query<{ id: string; reserved_at: Date; settled_at: Date }>(
        'SELECT id, reserved_at, settled_at FROM bare.refunds WHERE asked_at >= $1 AND settled_at IS NOT NULL',
        [new Date(sinceMs)],
      );
      return new Map(
        rows.map((row) => [
          row.id,
          { admittedAtMs: row.reserved_at.getTime(), settledAtMs: row.settled_at.getTime() },
        ]),
      );
    },
    stop: async () => {
      await Promise.all([http.destroy(), db.end()]);
      await Promise.all([api, ...workers].map((child) => child.stop('SIGTERM', STOPS_WITHIN_MS)));
    },
  };
}
