import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { Pool } from 'undici';
import { runNode } from '../src/embedded/parts.js';
import { program, quietPort, serviceSeat, type SeatPlace } from '../lab/seats.js';
import { retried } from '../lab/retries.js';
import { refundWorkflowId } from '../workflows/messages.js';
import type { Contender } from './contender.js';

export interface EstornoOptions extends SeatPlace {
  readonly env: Readonly<Record<string, string>>;
  readonly databaseUrl: string;
  readonly workers: number;
}

const REGISTERED_AT_ONCE = 32;
const CONNECTIONS = 512;
const READY_WITHIN_MS = 60_000;
/** As `npm run start:api` and `start:worker` have them. */
const FLAGS = ['--max-semi-space-size=64'];
export const AMOUNT_MINOR = 10_000;

export interface Estorno extends Contender {
  /** With the key of one who may ask and decide on others' refunds. */
  call(method: 'GET' | 'POST', path: string, body?: object, idempotencyKey?: string): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly body: {
    readonly id: string;
    readonly status?: string;
    readonly has_more?: boolean;
    readonly data?: readonly { readonly id: string }[];
  };
}

/** The service itself: one API and its workers, as `npm run start:api` and `start:worker` run them. */
export async function startEstorno(options: EstornoOptions): Promise<Estorno> {
  const { env, workers } = options;
  const api = serviceSeat(options, 'api', 1, await quietPort(), env, FLAGS);
  const crew = [];
  for (let number = 1; number <= workers; number += 1) {
    crew.push(serviceSeat(options, 'worker', number, await quietPort(), env, FLAGS));
  }
  const seats = [api, ...crew];
  await Promise.all(seats.map((seat) => seat.start()));
  const key = await runNode({
    ...program(options, 'key'),
    name: 'key',
    args: ['create', '--actor', 'bench', '--role', 'requester', '--role', 'operator'],
    env,
  });
  await Promise.all(seats.map((seat) => untilReady(seat.address)));
  const http = new Pool(api.address, { connections: CONNECTIONS, pipelining: 1 });
  const db = new pg.Pool({ connectionString: options.databaseUrl, application_name: 'bench', max: 1 });
  const call: Estorno['call'] = async (method, path, body, idempotencyKey = randomUUID()) => {
    const answer = await http.request({
      method,
      path,
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        'idempotency-key': idempotencyKey,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.statusCode, body: (await answer.body.json()) as Answer['body'] };
  };
  return {
    name: 'Estorno',
    call,
    webhookUrl: `${api.address}/v1/providers/pagou/webhook`,
    pids: {
      api: [pidOf(api)],
      worker: crew.map(pidOf),
    },
    register: async (count) => {
      const ids: string[] = [];
      const registerSome = async (): Promise<void> => {
        while (ids.length < count) {
          const at = ids.push('') - 1;
          const { status, body } = await call('POST', '/v1/payments', {
            provider: 'pagou',
            provider_payment_id: randomUUID(),
            amount: AMOUNT_MINOR,
            currency: 'BRL',
            paid_at: new Date(Date.now() - 86_400_000).toISOString(),
          });
          if (status !== 201) throw new Error(`no payment registered: ${status} ${JSON.stringify(body)}`);
          ids[at] = body.id;
        }
      };
      await Promise.all(Array.from({ length: REGISTERED_AT_ONCE }, registerSome));
      return ids;
    },
    ask: async (paymentId, idempotencyKey) => {
      const { status, body } = await call(
        'POST',
        '/v1/refunds',
        {
          payment_id: paymentId,
          amount: AMOUNT_MINOR,
          reason: 'requested_by_customer',
        },
        idempotencyKey,
      );
      if (status === 429 || status === 503) return null;
      if (status !== 202) throw new Error(`a refund was answered ${status} ${JSON.stringify(body)}`);
      return { refundId: body.id, workflowId: refundWorkflowId(body.id) };
    },
    settledSince: async (sinceMs) => {
      const { rows } = await db.query<{ count: number }>(
        "SELECT count(*)::int AS count FROM refunds WHERE created_at >= $1 AND status = 'succeeded'",
        [new Date(sinceMs)],
      );
      return rows[0]?.count ?? 0;
    },
    instantsSince: async (sinceMs) => {
      const { rows } = await db.query<{ id: string; updated_at: Date }>(
        "SELECT id, updated_at FROM refunds WHERE created_at >= $1 AND status = 'succeeded'",
        [new Date(sinceMs)],
      );
      return new Map(
        rows.map((row) => [row.id, { admittedAtMs: null, settledAtMs: row.updated_at.getTime() }]),
      );
    },
    stop: async () => {
      await Promise.all([http.destroy(), db.end()]);
      await Promise.all(seats.map((seat) => seat.stop()));
    },
  };
}

function pidOf(seat: { pid(): number | null }): number {
  const pid = seat.pid();
  if (pid === null) throw new Error('a process ended');
  return pid;
}

async function untilReady(origin: string): Promise<void> {
  await retried(async () => {
    const answer = await fetch(`${origin}/health/ready`, { signal: AbortSignal.timeout(5_000) });
    if (!answer.ok) throw new Error(`${origin} is not ready: ${await answer.text()}`);
  }, READY_WITHIN_MS);
}
