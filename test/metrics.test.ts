import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import type { ActivityDeps } from '../activities/deps.js';
import { readGuarded, reportSubmit } from '../activities/guarded-calls.js';
import type { RefundProvider } from '../src/domain/provider.js';
import { PENDING_REASONS, REFUND_STATUSES } from '../src/domain/refund.js';
import { freePort } from '../src/embedded/ports.js';
import { openDatabase } from '../src/ledger/database.js';
import { pingEndpoint } from '../src/ledger/deliveries.js';
import { storeDelivery } from '../src/ledger/inbox.js';
import { pauseProvider } from '../src/ledger/provider-switches.js';
import { moveToReview, settleRefund } from '../src/ledger/settlement.js';
import { createEndpoint, disableEndpoint } from '../src/ledger/webhook-endpoints.js';
import { createApiMetrics } from '../src/metrics/api-metrics.js';
import { createLedgerMetrics } from '../src/metrics/ledger-metrics.js';
import { createWorkerMetrics } from '../src/metrics/worker-metrics.js';
import { PROVIDERS } from '../src/providers/registry.js';
import { compileService } from './setup/compiled-service.js';
import { readExposition, sampleOf, type Sample } from './setup/exposition.js';
import { FRONT_DOOR_KEYS } from './setup/front-door-keys.js';
import { openFrontDoor, paymentBody, storeRefund } from './setup/front-door.js';
import {
  accepted,
  done,
  notNow,
  openLedger,
  START_MS,
  unknown,
  type LedgerScene,
} from './setup/ledger-scene.js';
import { createTestDatabase, temporalAddress } from './setup/real-parts.js';

const NAMES = PROVIDERS.map(({ name }) => name);
const HOUR_MS = 3_600_000;

describe('the figures of the ledger', () => {
  let ledger: LedgerScene;
  let samples: Sample[];
  const ids: string[] = [];
  beforeAll(async () => {
    ledger = await openLedger();
    await fill(ledger, ids);
    const metrics = createLedgerMetrics({ db: ledger.db, providers: NAMES, nowMs: () => START_MS + HOUR_MS });
    const text = await metrics.expose();
    for (const id of ids) expect(text).not.toContain(id);
    samples = readExposition(text);
  }, 30_000);
  afterAll(() => ledger.close());

  it('are those of its rows', () => {
    expect(sampleOf(samples, 'estorno_ledger_up')).toBe(1);
    expect(nonZero(samples, 'estorno_refunds')).toEqual([
      [{ provider: 'braspag', status: 'review' }, 1],
      [{ provider: 'efi', status: 'pending' }, 4],
      [{ provider: 'efi', status: 'succeeded' }, 1],
      [{ provider: 'fourgeeks', status: 'requires_approval' }, 1],
    ]);
    expect(nonZero(samples, 'estorno_refunds_waiting')).toEqual([
      [{ provider: 'efi', reason: 'insufficient_balance' }, 1],
      [{ provider: 'efi', reason: 'outcome_unknown' }, 1],
      [{ provider: 'efi', reason: 'provider_processing' }, 1],
      [{ provider: 'efi', reason: 'validating' }, 1],
    ]);
    expect(nonZero(samples, 'estorno_refunds_waiting_amount_minor')).toContainEqual([
      { provider: 'efi', reason: 'insufficient_balance', currency: 'BRL' },
      1_000,
    ]);
    expect(nonZero(samples, 'estorno_review')).toEqual([[{ provider: 'braspag', ends_by: 'provider' }, 1]]);
    expect(nonZero(samples, 'estorno_attempts_open')).toEqual([
      [{ provider: 'braspag', answer: 'none' }, 1],
      [{ provider: 'efi', answer: 'accepted' }, 1],
      [{ provider: 'efi', answer: 'unknown' }, 1],
    ]);
    expect(nonZero(samples, 'estorno_breaker_open')).toEqual([[{ provider: 'pagou', operation: 'read' }, 1]]);
    expect(nonZero(samples, 'estorno_provider_paused')).toEqual([[{ provider: 'picpay' }, 1]]);
    expect(nonZero(samples, 'estorno_webhooks_unmatched')).toEqual([[{ provider: 'pagou' }, 1]]);
  });

  it('tell for how long the oldest of each kind has waited', () => {
    const age = (provider: string, reason: string) =>
      sampleOf(samples, 'estorno_oldest_wait_seconds', { provider, reason });
    expect(age('efi', 'validating')).toBe(HOUR_MS / 1000);
    expect(age('braspag', 'review_provider')).toBe(HOUR_MS / 1000 - 60);
    expect(age('braspag', 'review_person')).toBe(0);
    expect(age('fourgeeks', 'requires_approval')).toBe(HOUR_MS / 1000);
  });

  it('count the unsent that must be sent within a day, and not those that are on their way', () => {
    expect(nonZero(samples, 'estorno_deadline_within_day')).toEqual([[{ provider: 'efi' }, 1]]);
  });

  it('count what expires within a day because its votes are missing', async () => {
    const soon = createLedgerMetrics({
      db: ledger.db,
      providers: NAMES,
      nowMs: () => START_MS + (7 * 24 - 20) * HOUR_MS,
    });
    const later = readExposition(await soon.expose());
    expect(nonZero(samples, 'estorno_approval_ends_within_day')).toEqual([]);
    expect(nonZero(later, 'estorno_approval_ends_within_day')).toEqual([[{ provider: 'fourgeeks' }, 1]]);
  });

  it('count those whose time for votes is over, and that nothing ended', async () => {
    const overdueAt = async (ms: number) => {
      const nowMs = () => START_MS + 7 * 24 * HOUR_MS + ms;
      const metrics = createLedgerMetrics({ db: ledger.db, providers: NAMES, nowMs });
      return nonZero(readExposition(await metrics.expose()), 'estorno_approvals_overdue');
    };
    expect(await overdueAt(119_000)).toEqual([]);
    expect(await overdueAt(121_000)).toEqual([[{ provider: 'fourgeeks' }, 1]]);
  });

  it('tell of outbound webhooks what waits, for how long, and what nobody takes', async () => {
    const figure = (of: readonly Sample[], name: string) => sampleOf(of, `estorno_outbound_${name}`);
    const names = ['pending', 'overdue', 'oldest_seconds', 'endpoints_disabled'];
    expect(names.map((name) => figure(samples, name))).toEqual([0, 0, 0, 0]);
    const later = await openLedger();
    const endpoint = { url: 'https://shop.example/', types: null, sealedSecret: 'k.s', actor: 'olga' };
    for (const id of ['whe_secret', 'whe_off']) {
      await createEndpoint(later.db, { ...endpoint, id, nowMs: START_MS });
    }
    await later.db.transaction().execute((trx) => disableEndpoint(trx, 'whe_off', 'gone', START_MS));
    const ordered = [START_MS, START_MS + 30_000];
    for (const atMs of ordered) await pingEndpoint(later.db, 'whe_secret', atMs);
    const metrics = createLedgerMetrics({ db: later.db, providers: NAMES, nowMs: () => START_MS + 61_000 });
    const text = await metrics.expose();
    await later.close();
    expect(names.map((name) => figure(readExposition(text), name))).toEqual([2, 1, 61, 1]);
    expect(text).not.toContain('whe_');
  });

  it('show every provider and every word of a closed list, and no label beyond them', () => {
    const values = (name: string, label: string) =>
      new Set(samples.filter((sample) => sample.name === name).map(({ labels }) => labels[label]));
    expect(values('estorno_refunds', 'status')).toEqual(new Set(REFUND_STATUSES));
    expect(values('estorno_refunds_waiting', 'reason')).toEqual(new Set(PENDING_REASONS));
    expect(values('estorno_attempts_open', 'answer')).toEqual(
      new Set(['none', 'unknown', 'accepted', 'declined']),
    );
    for (const name of new Set(samples.map((sample) => sample.name))) {
      if (name !== 'estorno_ledger_up' && !name.startsWith('estorno_outbound_')) {
        expect([name, values(name, 'provider')]).toEqual([name, new Set(NAMES)]);
      }
    }
  });

  it('of the reading before stand in while one takes long, for half a minute', async () => {
    let nowMs = START_MS;
    const metrics = createLedgerMetrics({ db: ledger.db, providers: NAMES, nowMs: () => nowMs });
    const before = await metrics.expose();
    await ledger.db.transaction().execute(async (trx) => {
      await sql`LOCK TABLE refunds IN ACCESS EXCLUSIVE MODE`.execute(trx);
      nowMs += 10_000;
      expect(await metrics.expose()).toBe(before);
      nowMs += 30_000;
      expect(sampleOf(readExposition(await metrics.expose()), 'estorno_ledger_up')).toBe(0);
    });
    const after = readExposition(await metrics.expose());
    expect(sampleOf(after, 'estorno_oldest_wait_seconds', { provider: 'efi', reason: 'validating' })).toBe(
      40,
    );
  }, 20_000);
});

/** One refund in each state that the figures tell apart. */
async function fill(ledger: LedgerScene, ids: string[]): Promise<void> {
  const refundAt = async (provider: string, submitBeforeMs: number | null = null): Promise<string> => {
    const paymentId = await ledger.payment({ provider });
    const id = await ledger.refund(paymentId);
    ids.push(paymentId, id);
    const submit_before = submitBeforeMs === null ? null : new Date(submitBeforeMs);
    await ledger.db.updateTable('refunds').set({ submit_before }).where('id', '=', id).execute();
    return id;
  };
  const soonMs = START_MS + 20 * HOUR_MS;
  await refundAt('efi', soonMs);
  await ledger.submit(await refundAt('efi', START_MS + 26 * HOUR_MS), notNow());
  await ledger.submit(await refundAt('efi', soonMs), unknown());
  await ledger.submit(await refundAt('efi', soonMs), accepted());
  const landed = await refundAt('efi');
  await ledger.submit(landed, done());
  await settleRefund(ledger.db, landed, START_MS);
  const inReview = await refundAt('braspag');
  await ledger.claim(inReview, 1, { needsLane: false });
  await moveToReview(ledger.db, inReview, 'a test', START_MS + 60_000);
  const waiting = await ledger.payment({ provider: 'fourgeeks' });
  ids.push(waiting, await ledger.refund(waiting, { approvals: 2 }));
  await ledger.db
    .insertInto('breakers')
    .values([
      { ...QUIET_BREAKER, provider: 'pagou', operation: 'read', opened_at: new Date(START_MS) },
      { ...QUIET_BREAKER, provider: 'pagou', operation: 'submit' },
    ])
    .execute();
  await ledger.db.transaction().execute((trx) =>
    pauseProvider(trx, {
      provider: 'picpay',
      actor: 'olga',
      reason: 'a test',
      requestId: null,
      nowMs: START_MS,
    }),
  );
  const delivery = { provider: 'pagou', rawBody: Buffer.from('{}'), providerPaymentId: 'nobody-knows-it' };
  ids.push(delivery.providerPaymentId);
  await storeDelivery(ledger.db, delivery, START_MS);
}

const QUIET_BREAKER = {
  failures: 0,
  opened_at: null,
  failed_probes: 0,
  probe_at: null,
  hold_until: null,
  closed_at: null,
};

function nonZero(samples: readonly Sample[], name: string): [Sample['labels'], number][] {
  return samples
    .filter((sample) => sample.name === name && sample.value !== 0)
    .map(({ labels, value }): [Sample['labels'], number] => [labels, value])
    .sort(([a], [b]) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
}

describe('a scrape while PostgreSQL is away', () => {
  it.each([
    ['refuses connections', async () => ({ port: await freePort(0), close: () => undefined })],
    ['accepts them and is silent', listenInSilence],
  ])('answers within two seconds with the figures of the process alone: it %s', async (_, startServer) => {
    const { port, close } = await startServer();
    const db = openDatabase(`postgres://nobody@127.0.0.1:${port}/none`);
    const metrics = createApiMetrics(createLedgerMetrics({ db, providers: NAMES, nowMs: () => Date.now() }));
    const begunMs = Date.now();
    const text = await metrics.expose();
    const tookMs = Date.now() - begunMs;
    close();
    await db.destroy();
    const samples = readExposition(text);
    expect(tookMs).toBeLessThan(2_000);
    expect(sampleOf(samples, 'estorno_ledger_up')).toBe(0);
    expect(sampleOf(samples, 'process_cpu_seconds_total')).not.toBeNull();
    expect(samples.filter(({ name }) => /^estorno_refunds/.test(name))).toEqual([]);
  });
});

async function listenInSilence(): Promise<{ port: number; close: () => void }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => sockets.add(socket));
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, close };
}

describe('GET /metrics of the API', () => {
  it('needs no key, counts by route template, and holds no id, path or word of a caller', async () => {
    const database = await createTestDatabase();
    const db = openDatabase(database.url, { poolMax: 1 });
    const ledger = createLedgerMetrics({ db, providers: NAMES, nowMs: () => Date.now() });
    const door = await openFrontDoor({ metrics: createApiMetrics(ledger) });
    const payment = await door.call('POST', '/v1/payments', { body: paymentBody });
    await storeRefund(door.db, { id: 'rfd_secret', paymentId: payment.body.id, amountMinor: 1 });
    await door.call('GET', '/v1/refunds/rfd_secret?refresh=false');
    await door.call('GET', '/v1/refunds/rfd_of_nobody');
    await door.call('GET', '/wp-admin/rfd_guess');
    await door.call('PUT', '/v1/refunds/rfd_secret');

    const answer = await door.call('GET', '/metrics', { key: null });
    expect([answer.status, answer.headers['content-type']]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
    ]);
    const samples = readExposition(answer.text);
    const asked = (labels: Sample['labels']) => sampleOf(samples, 'estorno_http_requests_total', labels);
    expect(asked({ route: '/v1/payments', method: 'POST', status: '201' })).toBe(1);
    expect(asked({ route: '/v1/refunds/:id', method: 'GET', status: '404' })).toBe(1);
    expect(asked({ route: 'none', method: 'GET', status: '404' })).toBe(1);
    expect(
      sampleOf(samples, 'estorno_http_request_duration_seconds_count', { route: '/v1/refunds/:id' }),
    ).toBeGreaterThanOrEqual(1);
    expect(answer.text).not.toMatch(/rfd_|pay_|wp-admin|refresh=|Bearer/);
    await door.close();
    await db.destroy();
    await database.drop();
  }, 20_000);
});

describe('GET /metrics of a worker', () => {
  it('counts what is asked of providers where it is asked', async () => {
    const ledger = await openLedger();
    const metrics = createWorkerMetrics({ expose: async () => '' }, NAMES, null);
    const deps = {
      db: ledger.db,
      observe: metrics.observe,
      timings: { providerTimeoutMs: 1_000, retryMaxMs: 1_000 },
      nowMs: () => START_MS,
      log: { warn: () => undefined, error: () => undefined },
    } as unknown as ActivityDeps;
    const provider = {
      name: 'efi',
      readPayment: async () => ({ kind: 'notFound', detail: 'none' }),
    } as unknown as RefundProvider;
    const payment = {
      providerPaymentId: 'x',
      providerPaymentReference: null,
      paymentId: null,
      paidAtMs: null,
    };
    await readGuarded(deps, provider, payment);
    const permit = {
      provider: 'efi',
      operation: 'submit',
      troubled: false,
      probesReads: false,
      probeUntilMs: null,
    } as const;
    await reportSubmit(deps, permit, accepted());
    metrics.observe.orphansResumed(3);
    metrics.observe.webhookAttempted('given_up');

    const samples = readExposition(await metrics.expose());
    await ledger.close();
    const read = { provider: 'efi', outcome: 'notFound' };
    expect(sampleOf(samples, 'estorno_provider_reads_total', read)).toBe(1);
    expect(sampleOf(samples, 'estorno_provider_reads_total', { ...read, provider: 'pagou' })).toBe(0);
    expect(nonZero(samples, 'estorno_attempt_answers_total')).toEqual([
      [{ provider: 'efi', outcome: 'accepted' }, 1],
    ]);
    expect(sampleOf(samples, 'estorno_orphans_resumed_total')).toBe(3);
    const attempts = (outcome: string) => sampleOf(samples, 'estorno_outbound_attempts_total', { outcome });
    expect([attempts('given_up'), attempts('delivered')]).toEqual([1, 0]);
  });

  it('holds the ledger’s figures, its own and those of Temporal’s library, each once', async () => {
    const database = await createTestDatabase();
    const built = await compileService();
    const port = await freePort(0);
    const worker = spawn(process.execPath, [`${built.builtDir}/src/worker.js`], {
      stdio: 'ignore',
      env: {
        DATABASE_URL: database.url,
        FRONT_DOOR_KEYS,
        TEMPORAL_ADDRESS: temporalAddress(),
        WORKER_HEALTH_PORT: String(port),
      },
    });
    const ended = once(worker, 'exit');
    const url = `http://127.0.0.1:${port}`;
    await until(async () => (await fetch(`${url}/health/ready`)).status === 200);
    const answer = await fetch(`${url}/metrics`);
    const samples = readExposition(await answer.text());
    worker.kill('SIGTERM');
    await ended;
    await built.remove();
    await database.drop();
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(sampleOf(samples, 'estorno_ledger_up')).toBe(1);
    expect(sampleOf(samples, 'estorno_orphans_resumed_total')).toBe(0);
    expect(sampleOf(samples, 'process_cpu_seconds_total')).not.toBeNull();
    const temporal = samples.filter(({ name }) => name.startsWith('temporal_')).map(({ name }) => name);
    expect(temporal).toEqual(expect.arrayContaining(['temporal_worker_start_total', 'temporal_num_pollers']));
  }, 60_000);
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 50));
}
