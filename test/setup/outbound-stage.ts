import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { DeliveryDeps } from '../../activities/deliver.activity.js';
import { nextDelivery } from '../../activities/deliver.activity.js';
import { createDeliveryActivities } from '../../activities/index.js';
import { startTemporal } from '../../src/embedded/temporal.js';
import type { Database } from '../../src/ledger/database.js';
import { createEndpoint } from '../../src/ledger/webhook-endpoints.js';
import { urlRules } from '../../src/outbound/endpoint-url.js';
import { createPost } from '../../src/outbound/post.js';
import { ATTEMPTS_AT_ONCE, inTurns } from '../../src/outbound/turns.js';
import { startDeliveries } from '../../src/upkeep/deliveries.js';
import { OUTBOUND_TASK_QUEUE } from '../../workflows/delivery-messages.js';
import { REFUND_TASK_QUEUE, SEARCH_ATTRIBUTES } from '../../workflows/messages.js';
import { workflowBundlePath } from './real-parts.js';
import { clientThatSkipsTime, TIME_MAY_BE_SKIPPED } from './skipped-time.js';

/** A POST as an endpoint got it. */
export interface Received {
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly type: string;
  readonly version: number;
  readonly atMs: number;
}

/** Delivery workflows on a real server, to receivers on loopback. */
export interface OutboundStage {
  /** Of the worker of outbound webhooks. */
  readonly clock: { aheadMs: number };
  readonly client: Client;
  /** What waits between attempts takes no time. */
  readonly skippingClient: Client;
  /** An endpoint that answers what `answer` says, 204 where it says nothing. */
  endpoint(
    db: Database,
    answer?: (received: Received, all: readonly Received[]) => number | Promise<number>,
  ): Promise<{ id: string; secret: string; received: readonly Received[] }>;
  /** What a worker's upkeep does each second. */
  start(db: Database, client?: Client): Promise<void>;
  close(): Promise<void>;
}

export function seal(text: string): string {
  return Buffer.from(text).toString('hex');
}

function unseal(sealed: string): string {
  if (!/^[0-9a-f]+$/.test(sealed)) throw new Error('not sealed here');
  return Buffer.from(sealed, 'hex').toString();
}

export function newSecret(byte: number): string {
  return `whsec_${Buffer.alloc(32, byte).toString('base64')}`;
}

export async function openOutboundStage(db: Database): Promise<OutboundStage> {
  const dataDir = await mkdtemp(join(tmpdir(), 'estorno-outbound-'));
  const temporal = await startTemporal({
    dataDir,
    durable: false,
    searchAttributes: SEARCH_ATTRIBUTES,
    log: () => undefined,
    port: 0,
    uiPort: null,
    dynamicConfig: { ...TIME_MAY_BE_SKIPPED },
  });
  const connection = await Connection.connect({ address: temporal.address });
  const client = new Client({ connection });
  const native = await NativeConnection.connect({ address: temporal.address });
  const clock = { aheadMs: 0 };
  const deps: DeliveryDeps = {
    db,
    sealing: { seal, unseal },
    post: inTurns(createPost(urlRules(true))),
    nowMs: () => Date.now() + clock.aheadMs,
    random: () => 0.5,
    log: { error: () => undefined, warn: () => undefined },
    observe: { webhookAttempted: () => undefined },
  };
  const workers = await Promise.all([
    Worker.create({
      connection: native,
      taskQueue: REFUND_TASK_QUEUE,
      workflowBundle: { codePath: workflowBundlePath() },
      activities: {
        nextDelivery: (line: Parameters<typeof nextDelivery>[1]) => nextDelivery(deps, line),
      },
    }),
    Worker.create({
      connection: native,
      taskQueue: OUTBOUND_TASK_QUEUE,
      activities: createDeliveryActivities(deps),
      maxConcurrentActivityTaskExecutions: ATTEMPTS_AT_ONCE,
    }),
  ]);
  const runs = workers.map((worker) => worker.run());
  const closing: (() => void)[] = [];
  let made = 0;
  return {
    clock,
    client,
    skippingClient: clientThatSkipsTime(connection),
    endpoint: async (into, answer = () => 204) => {
      const received: Received[] = [];
      const server = createServer((request, response) => {
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const { type, data } = JSON.parse(text) as { type: string; data: { version: number } };
          const headers = request.headers as Record<string, string>;
          const one = { headers, text, type, version: data.version, atMs: Date.now() };
          received.push(one);
          void Promise.resolve(answer(one, received)).then((status) => response.writeHead(status).end());
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      closing.push(() => {
        server.closeAllConnections();
        server.close();
      });
      made += 1;
      const secret = newSecret(made);
      const id = `whe_stage${made}`;
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/in`;
      await createEndpoint(into, {
        ...{ id, url, types: null, sealedSecret: seal(secret) },
        ...{ actor: 'olga', nowMs: Date.now() },
      });
      return { id, secret, received };
    },
    start: (of, by = client) => startDeliveries(of, by, Date.now() + clock.aheadMs),
    close: async () => {
      for (const close of closing) close();
      for (const worker of workers) worker.shutdown();
      await Promise.all(runs);
      await native.close();
      await connection.close();
      await temporal.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
