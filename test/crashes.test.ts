import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Connection } from '@temporalio/client';
import pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { readBooks, readTrail } from '../lab/books.js';
import { clientOf, type Answer } from '../lab/client.js';
import { comparePayment } from '../lab/comparison.js';
import { controlAt, type Control, type PaymentPlace } from '../lab/control.js';
import { retried } from '../lab/retries.js';
import { startSite, type Site } from '../lab/site.js';
import { checkTrails } from '../lab/trail.js';
import type { SimulatedProvider } from '../simulators/book.js';
import type { Fault } from '../simulators/faults.js';
import { openDatabase } from '../src/ledger/database.js';
import { findDelivery, pingEndpoint } from '../src/ledger/deliveries.js';
import { createEndpoint } from '../src/ledger/webhook-endpoints.js';
import { seal } from '../src/signing/seal.js';
import { deliveryWorkflowId } from '../workflows/delivery-messages.js';
import { compileService, type CompiledService } from './setup/compiled-service.js';
import { payloadsOf } from './setup/readable-payloads.js';

const PAYLOAD_KEY = { id: 'k1', secret: randomBytes(32) };
/** Long enough to strike while a call is under way; "not there" is proven after 2 + 2 + 0.9 s. */
const SETTINGS = {
  PROVIDER_TIMEOUT_MS: '2000',
  PAYLOAD_KEYS: `${PAYLOAD_KEY.id}:${PAYLOAD_KEY.secret.toString('base64')}`,
  WEBHOOK_ALLOW_PRIVATE: 'true',
};
const WEBHOOK_SECRET = `whsec_${randomBytes(32).toString('base64')}`;
const WRITTEN_OFF_AFTER_MS = 4_900;
const ALL = ['picpay', 'efi', 'braspag', 'fourgeeks', 'pagou'] as const;
const WITHIN_MS = 40_000;
/** What looks like nothing else. */
const PLANTED = 'planted-9b1e5c7d3f';

describe('a process that is killed or frozen at the worst moment', () => {
  let compiled: CompiledService;
  let dataDir: string;
  let site: Site;
  let control: Control;
  let crashed: readonly Asked[];
  let late: Readonly<Record<'picpay' | 'pagou' | 'braspag', Asked>>;
  beforeAll(async () => {
    compiled = await compileService();
    dataDir = await mkdtemp(join(tmpdir(), 'estorno-crashes-'));
    site = await startSite({ dataDir, builtDir: compiled.builtDir, apis: 2, workers: 2, settings: SETTINGS });
    control = controlAt(site.controlOrigin);
    // What takes long takes it while the cases below go on.
    crashed = await killWorkersAfterTheEffect();
    late = await askWithLateEffects();
  }, 90_000);
  afterAll(async () => {
    await site.close();
    await compiled.remove();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }, 30_000);

  it('the API, between our record and the answer: the client’s repeat finds its refund', async () => {
    const payment = await register('efi');
    await control.inject('efi', { operation: 'read', name: 'slow', ms: 1_000, times: 5 });
    const request = refundOf(payment.paymentId);
    const broken = clientOf([site.apiOrigins[0]!], site.keys.requester, () => 0).insist(
      'POST',
      '/v1/refunds',
      request,
    );
    await until(async () => {
      const struck = await control.struckCalls();
      return struck.some(({ path }) => decodeURIComponent(path).includes(payment.providerPaymentId));
    });
    // Frozen while the workers record the verdict that it waits for, and dead before it can pass it on.
    site.freeze('api-1', 20_000);
    const admitted = await untilFound(() =>
      query<{ refund_id: string }>('SELECT refund_id FROM idempotency WHERE key = $1', [request.key]),
    );
    await site.kill('api-1');
    // On a slow machine the answer may have been out before the kill: the repeat must find the same all the same.
    expect([undefined, 202]).toContain((await broken)?.status);
    const again = await client().insist('POST', '/v1/refunds', request);
    expect(again).toMatchObject({ status: 202, body: { id: admitted.refund_id } });
    await expectOneSuccess({ ...payment, id: admitted.refund_id });
    await site.start('api-1');
  }, 60_000);

  it('PostgreSQL, while an answer is to be stored: the answer is kept until it is back', async () => {
    const refund = await askFor('fourgeeks', { operation: 'submit', name: 'slow', ms: 1_000 });
    await claimed(refund.id);
    await site.kill('postgres');
    await until(async () => (await landings(refund)).length === 1);
    await site.start('postgres');
    expect(await expectOneSuccess(refund)).toMatchObject({ evidence: { source: 'response' } });
    expect(site.deaths).toEqual([]);
  }, 60_000);

  it('Temporal, in the middle of a call: it goes on where it was', async () => {
    const refund = await askFor('efi', { operation: 'submit', name: 'slow', ms: 1_000 });
    await claimed(refund.id);
    await site.kill('temporal');
    await until(async () => (await landings(refund)).length === 1);
    await site.start('temporal');
    await expectOneSuccess(refund);
    expect(site.deaths).toEqual([]);
  }, 60_000);

  it('the worker, between the provider’s effect and our record of it: found there, and sent once', async () => {
    for (const refund of crashed) await expectOneSuccess(refund);
  }, 60_000);

  it('an effect that lands after everybody gave it up: adopted under its key, else a person hears of it', async () => {
    await expectOneSuccess(late.picpay);
    await expectOneSuccess(late.pagou);
    await until(async () => (await landings(late.braspag)).length === 2);
    await until(async () => (await read(late.braspag.id)).status === 'review');
    await control.clearFaults();
    // Both are done: still nobody is told "succeeded" of a refund that was carried out twice.
    for (const entry of await landings(late.braspag)) await control.setRefundStatus(entry, 'succeeded');
    expect((await read(late.braspag.id)).status).toBe('review');
  }, 60_000);

  it('a worker frozen in its call while another goes on: nothing is sent again when it thaws', async () => {
    await site.kill('worker-2');
    const refunds = await Promise.all(
      (['fourgeeks', 'pagou'] as const).map((provider) =>
        askFor(provider, { operation: 'submit', name: 'slow', ms: 1_200 }),
      ),
    );
    for (const { id } of refunds) await claimed(id);
    site.freeze('worker-1', 60_000);
    // A new server forgets the polls of the frozen worker, which would else swallow one task after another.
    await site.kill('temporal');
    await Promise.all([site.start('temporal'), site.start('worker-2')]);
    for (const { id } of refunds) await until(async () => isOver(await read(id)));
    site.thaw('worker-1');
    for (const refund of refunds) {
      await expectOneSuccess(refund);
      expect(await attempts(refund.id)).toMatchObject([{ conclusion: 'landed' }]);
    }
  }, 60_000);

  it('a worker, between an outbound webhook and its record: it comes again, under the same id', async () => {
    const received: { headers: Record<string, string>; text: string }[] = [];
    const killed: Promise<void>[] = [];
    const receiver = createServer((request, response) => {
      void text(request).then((body) => {
        received.push({ headers: request.headers as Record<string, string>, text: body });
        if (received.length > 1) return response.end();
        // It has all of the first one, and whoever sent it is gone before it can hear so.
        return killed.push(site.kill('worker-1'), site.kill('worker-2'));
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    const db = openDatabase(site.databaseUrl, { poolMax: 2 });
    const temporal = await Connection.connect({ address: site.temporalAddress });
    try {
      const endpoint = {
        ...{ id: 'whe_1', url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/in` },
        ...{ types: null, sealedSecret: seal(WEBHOOK_SECRET, { keys: [PAYLOAD_KEY] }) },
        ...{ actor: 'olga', nowMs: Date.now() },
      };
      await createEndpoint(db, endpoint);
      const pinged = await pingEndpoint(db, endpoint.id, Date.now());
      if (pinged?.kind !== 'ordered') throw new Error('not pinged');
      const shown = () => findDelivery(db, endpoint.id, pinged.deliveryId);
      await until(() => Promise.resolve(killed.length === 2));
      await Promise.all(killed);
      expect(await shown()).toMatchObject({ status: 'pending', attempts: 0 });
      await Promise.all([site.start('worker-1'), site.start('worker-2')]);
      await until(async () => (await shown())?.status === 'delivered');

      expect(received).toHaveLength(2);
      const [first, second] = received;
      const subject = first?.headers['webhook-id'] ?? '';
      expect(second?.headers['webhook-id']).toBe(subject);
      expect(second?.text).toBe(first?.text);
      expect(new Webhook(WEBHOOK_SECRET).verify(second?.text ?? '', second?.headers ?? {})).toMatchObject({
        type: 'webhook.ping',
        data: { id: endpoint.id },
      });
      // Sealed by the real worker's own client and workers: what nobody sealed would not have been delivered.
      const line = deliveryWorkflowId({ endpointId: endpoint.id, subject });
      const { sealed, readable } = await payloadsOf(temporal, line);
      expect(sealed).toBeGreaterThan(3);
      expect(readable).toEqual([]);
    } finally {
      await temporal.close();
      await db.destroy();
      receiver.closeAllConnections();
      receiver.close();
    }
  }, 90_000);

  it('and the books of both sides agree after all of it', async () => {
    const stories = await readBooks(site.databaseUrl, control);
    expect(stories.flatMap((story) => comparePayment(story))).toEqual([]);
    expect(site.deaths).toEqual([]);
  });

  it('and the lab finds the first altered, lost or added event of their trails', async () => {
    const trail = await readTrail(site.databaseUrl);
    expect(checkTrails(trail)).toEqual([]);
    const first = trail.find(({ refund_id, sequence }) => refund_id !== null && sequence === 1)!;
    const rest = trail.filter((event) => event !== first);
    const broken = [{ kind: 'broken_trail', subject: first.refund_id, detail: expect.any(String) }];
    expect(checkTrails([{ ...first, data: { altered: true } }, ...rest])).toEqual(broken);
    expect(checkTrails(rest)).toEqual(broken);
    expect(checkTrails([...trail, first])).toEqual(broken);
  });

  it('and no log holds a secret, or what somebody typed', async () => {
    const [origin] = site.apiOrigins;
    const ask = (path: string, body: string, headers: Record<string, string> = {}) =>
      fetch(`${origin}${path}`, { method: 'POST', body, headers: { ...asRequester(), ...headers } });
    const { paymentId } = await register('efi');
    const words = { description: PLANTED, metadata: { note: PLANTED } };
    const answers = await Promise.all([
      ask('/v1/refunds', JSON.stringify({ ...refundOf(paymentId).body, ...words }), {
        'idempotency-key': PLANTED,
      }),
      ask('/v1/refunds', `{"amount": "${PLANTED}`),
      ask('/v1/refunds', '{}', { authorization: `Bearer ${PLANTED}` }),
      ask(`/v1/refunds/${PLANTED}/approve?${PLANTED}`, `{"${PLANTED}":1}`),
      ask(`/v1/providers/efi/webhook?hmac=${PLANTED}`, `{"pix":["${PLANTED}"]}`),
      ask('/v1/providers/braspag/webhook', PLANTED, { 'x-webhook-secret': PLANTED }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([202, 400, 401, 400, 401, 401]);
    const refundId = ((await answers[0].json()) as { id: string }).id;

    await until(async () => isOver(await read(refundId)));
    const logs = await readLogs();
    expect(secretsIn(site).length).toBeGreaterThan(15);
    expect([...secretsIn(site), PLANTED].filter((secret) => logs.includes(secret))).toEqual([]);
    const lines = logs.split('\n').filter((line) => line.includes('"answered"'));
    expect(lines.map((line) => JSON.parse(line) as unknown)).toContainEqual(
      expect.objectContaining({
        ...{ requestId: answers[0].headers.get('x-request-id'), method: 'POST', route: '/v1/refunds' },
        ...{ status: 202, actor: 'rita', refundId },
      }),
    );
  });

  function asRequester() {
    return { authorization: `Bearer ${site.keys.requester}`, 'content-type': 'application/json' };
  }

  async function readLogs(): Promise<string> {
    const folder = join(dataDir, 'logs');
    const names = await readdir(folder);
    return (await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))).join('\n');
  }

  interface Asked extends PaymentPlace {
    readonly id: string;
  }

  async function killWorkersAfterTheEffect(): Promise<Asked[]> {
    const refunds = await Promise.all(
      ALL.map((provider) => askFor(provider, { operation: 'submit', name: 'timeout_after_effect' })),
    );
    await until(async () =>
      (await Promise.all(refunds.map(landings))).every((entries) => entries.length === 1),
    );
    await Promise.all([site.kill('worker-1'), site.kill('worker-2')]);
    for (const { id } of refunds) {
      expect(await attempts(id)).toEqual([{ answer: null, conclusion: null }]);
    }
    await Promise.all([site.start('worker-1'), site.start('worker-2')]);
    return refunds;
  }

  /** At Braspag the second sending is not confirmed yet when the first one lands. */
  async function askWithLateEffects() {
    const effectAfter = (ms: number): Fault => ({ operation: 'submit', name: 'late_effect', ms });
    const late = effectAfter(WRITTEN_OFF_AFTER_MS + 2_500);
    await control.inject('braspag', { operation: 'submit', name: 'never_confirms', times: 2 });
    const [picpay, pagou, braspag] = await Promise.all([
      askFor('picpay', late),
      askFor('pagou', late),
      // Late enough for the second sending, though PostgreSQL and Temporal are killed meanwhile.
      askFor('braspag', effectAfter(WRITTEN_OFF_AFTER_MS + 10_000)),
    ]);
    return { picpay, pagou, braspag };
  }

  async function register(provider: SimulatedProvider): Promise<PaymentPlace & { paymentId: string }> {
    const payment = await control.createPayment(provider, 5_000);
    const { providerPaymentReference, refreshToken } = payment;
    const answer = await client().insist('POST', '/v1/payments', {
      body: {
        ...{ provider, provider_payment_id: payment.providerPaymentId, amount: 5_000 },
        ...{ currency: payment.currency, paid_at: payment.paidAt },
        ...(providerPaymentReference ? { provider_payment_reference: providerPaymentReference } : {}),
        ...(refreshToken ? { provider_credentials: { refresh_token: refreshToken } } : {}),
      },
    });
    return { ...payment, paymentId: String(answer?.body['id']) };
  }

  async function askFor(provider: SimulatedProvider, fault: Fault): Promise<Asked> {
    const payment = await register(provider);
    expect(await control.inject(provider, fault)).toBe(true);
    const answer = await client().insist('POST', '/v1/refunds', refundOf(payment.paymentId));
    expect(answer?.status).toBe(202);
    return { provider, providerPaymentId: payment.providerPaymentId, id: String(answer?.body['id']) };
  }

  function refundOf(paymentId: string) {
    const body = { payment_id: paymentId, amount: 1_900, reason: 'requested_by_customer' };
    return { key: `crash/${paymentId}`, body };
  }

  function client() {
    const giveUpAtMs = Date.now() + WITHIN_MS;
    return clientOf(site.apiOrigins, site.keys.requester, () => giveUpAtMs);
  }

  async function read(id: string): Promise<Answer['body']> {
    return (await client().insist('GET', `/v1/refunds/${id}`))?.body ?? {};
  }

  async function landings({ provider, providerPaymentId }: PaymentPlace) {
    const { refunds } = await control.books();
    return refunds.filter(
      (each) => each.provider === provider && each.providerPaymentId === providerPaymentId,
    );
  }

  async function expectOneSuccess(refund: Asked): Promise<Answer['body']> {
    await until(async () => isOver(await read(refund.id)));
    const found = await read(refund.id);
    expect(found).toMatchObject({ status: 'succeeded', amount: 1_900 });
    expect(await landings(refund)).toMatchObject([{ amountMinor: 1_900, status: 'succeeded' }]);
    return found;
  }

  function attempts(refundId: string) {
    return query('SELECT answer, conclusion FROM provider_attempts WHERE refund_id = $1', [refundId]);
  }

  function claimed(refundId: string) {
    return untilFound(() =>
      query('SELECT 1 FROM provider_attempts WHERE refund_id = $1 AND sends > 0', [refundId]),
    );
  }

  async function query<Row extends pg.QueryResultRow>(sql: string, values: string[]): Promise<Row[]> {
    const connection = new pg.Client({ connectionString: site.databaseUrl });
    connection.on('error', () => undefined);
    await connection.connect();
    try {
      return (await connection.query<Row>(sql, values)).rows;
    } finally {
      await connection.end();
    }
  }
});

/** What API and workers are given that nobody else may know; of rings of keys each key. */
function secretsIn({ settings, keys, databaseUrl }: Site): string[] {
  const isSecret = /(?:SECRET|KEYS?|TOKEN|PASSWORD|PASSPHRASE)$/;
  const given = Object.entries(settings).flatMap(([name, value]) =>
    isSecret.test(name) && value ? value.split(',').map((each) => each.replace(/^[^:]*:/, '')) : [],
  );
  const apiKeys = [keys.requester, keys.operator, ...Object.values(keys.approvers)];
  return [...given, ...apiKeys, new URL(databaseUrl).password].filter((secret) => secret.length >= 8);
}

function isOver({ status }: Answer['body']): boolean {
  return status !== 'pending' && status !== 'review';
}

/** Asked for every quarter of a second, or as often as the answer takes. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  await retried(async () => {
    if (!(await holds())) throw new Error(`never came true: ${String(holds)}`);
  }, WITHIN_MS);
}

async function untilFound<Row>(rows: () => Promise<Row[]>): Promise<Row> {
  return retried(async () => {
    const [first] = await rows();
    if (!first) throw new Error('no such row');
    return first;
  }, WITHIN_MS);
}
