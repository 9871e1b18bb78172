import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Connection } from '@temporalio/client';
import { Webhook } from 'standardwebhooks';
import { startSite, type Site } from '../lab/site.js';
import { openDatabase, type Database } from '../src/ledger/database.js';
import { findDelivery, pingEndpoint } from '../src/ledger/deliveries.js';
import { createEndpoint } from '../src/ledger/webhook-endpoints.js';
import { seal } from '../src/signing/seal.js';
import { deliveryWorkflowId } from '../workflows/delivery-messages.js';
import { compileService, type CompiledService } from './setup/compiled-service.js';
import { eventually } from './setup/eventually.js';
import { payloadsOf } from './setup/readable-payloads.js';

const KEY = { id: 'k1', secret: Buffer.alloc(32, 7) };
const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const SETTINGS = {
  PAYLOAD_KEYS: `${KEY.id}:${KEY.secret.toString('base64')}`,
  WEBHOOK_ALLOW_PRIVATE: 'true',
};

let compiled: CompiledService;
let dataDir: string;
let site: Site;
let db: Database;
let receiver: Server;
beforeAll(async () => {
  compiled = await compileService();
  dataDir = await mkdtemp(join(tmpdir(), 'estorno-outbound-'));
  site = await startSite({ dataDir, builtDir: compiled.builtDir, apis: 1, workers: 1, settings: SETTINGS });
  db = openDatabase(site.databaseUrl, { poolMax: 2 });
}, 90_000);
afterAll(async () => {
  receiver.closeAllConnections();
  receiver.close();
  await db.destroy();
  await site.close();
  await compiled.remove();
  await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}, 30_000);

it('a webhook comes again, under the same id, when its worker is killed between the delivery and its record', async () => {
  const received: { headers: Record<string, string>; text: string }[] = [];
  const killed: Promise<void>[] = [];
  receiver = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const headers = request.headers as Record<string, string>;
      received.push({ headers, text: Buffer.concat(chunks).toString('utf8') });
      // It has all of the first one, and the worker is gone before it can hear so.
      if (received.length === 1) killed.push(site.kill('worker-1'));
      else response.end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const endpoint = {
    ...{ id: 'whe_1', url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/in` },
    ...{ types: null, sealedSecret: seal(SECRET, { keys: [KEY] }), actor: 'olga', nowMs: Date.now() },
  };
  await createEndpoint(db, endpoint);
  const pinged = await pingEndpoint(db, endpoint.id, Date.now());
  if (pinged?.kind !== 'ordered') throw new Error('not pinged');
  const shown = () => findDelivery(db, endpoint.id, pinged.deliveryId);

  await eventually(async () => killed.length, Boolean);
  await Promise.all(killed);
  expect(await shown()).toMatchObject({ status: 'pending', attempts: 0 });
  await site.start('worker-1');
  await eventually(shown, (delivery) => delivery?.status === 'delivered', 45_000);

  // Sealed by the real worker's own client and workers: what nobody sealed would not have been delivered.
  const temporal = await Connection.connect({ address: site.temporalAddress });
  const subject = received[0]?.headers['webhook-id'] ?? '';
  const { sealed, readable } = await payloadsOf(
    temporal,
    deliveryWorkflowId({ endpointId: endpoint.id, subject }),
  );
  await temporal.close();
  expect(sealed).toBeGreaterThan(3);
  expect(readable).toEqual([]);

  expect(received).toHaveLength(2);
  const [first, second] = received;
  expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
  expect(second?.text).toBe(first?.text);
  expect(new Webhook(SECRET).verify(second?.text ?? '', second?.headers ?? {})).toMatchObject({
    type: 'webhook.ping',
    data: { id: endpoint.id },
  });
}, 90_000);
