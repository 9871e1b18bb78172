import { afterEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { readConfig } from '../src/config.js';
import { compareWithHead, exportHead, judgeHead } from '../src/ledger/audit/head.js';
import { contentOf } from '../src/ledger/audit/trail.js';
import { verifyLedger, type Verification } from '../src/ledger/audit/verify.js';
import { auditMacsOf } from '../src/ledger/audit-macs.js';
import { appendEvent } from '../src/ledger/attempt-writes.js';
import { openDatabase, type Database, type LedgerTransaction } from '../src/ledger/database.js';
import { eventHash } from '../src/ledger/event-chain.js';
import { lockRefund } from '../src/ledger/refunds.js';
import { settleRefund } from '../src/ledger/settlement.js';
import { createLogger } from '../src/logger.js';
import { createAuditMacs } from '../src/signing/audit-mac.js';
import { buildParts } from '../src/wiring.js';
import { compileService } from './setup/compiled-service.js';
import { done, openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';

const FIRST = { id: 'first', secret: Buffer.alloc(32, 1) };
const SECOND = { id: 'second.2', secret: Buffer.alloc(32, 2) };

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

interface Story {
  readonly scene: LedgerScene;
  readonly paymentId: string;
  /** One that succeeded, and one that is pending. */
  readonly succeeded: string;
  readonly pending: string;
}

async function tell(keys: readonly (typeof FIRST)[] | null = [FIRST]): Promise<Story> {
  const scene = await openLedger({ auditMacs: keys && createAuditMacs({ keys }) });
  opened.push(scene);
  return { scene, ...(await refundsOf(scene)) };
}

async function refundsOf(scene: LedgerScene): Promise<Omit<Story, 'scene'>> {
  const paymentId = await scene.payment();
  const succeeded = await scene.refund(paymentId, { description: 'as told', metadata: { order: '1' } });
  await scene.submit(succeeded, done('at-provider'));
  await settleRefund(scene.db, succeeded, START_MS + 2_000);
  const pending = await scene.refund(paymentId);
  return { paymentId, succeeded, pending };
}

/** The same ledger with other keys. */
function withKeys(scene: LedgerScene, keys: readonly (typeof FIRST)[] | null): Database {
  const db = openDatabase(scene.url, { poolMax: 2, auditMacs: keys && createAuditMacs({ keys }) });
  opened.unshift({ close: () => db.destroy() });
  return db;
}

/** What an owner of the database can do: no trigger stops them, no foreign key holds them. */
async function tamper(db: Database, work: (trx: LedgerTransaction) => Promise<unknown>): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`SET LOCAL session_replication_role = replica`.execute(trx);
    await work(trx);
  });
}

/** The hashes of a whole trail made anew, and its end on the refund. */
async function recompute(trx: LedgerTransaction, refundId: string, macs: 'kept' | 'stripped'): Promise<void> {
  const trail = await trx
    .selectFrom('refund_events')
    .selectAll()
    .where('refund_id', '=', refundId)
    .orderBy('sequence')
    .execute();
  let previous = '';
  for (const event of trail) {
    const hash = eventHash(contentOf(event), previous);
    await trx
      .updateTable('refund_events')
      .set({ previous_hash: previous, hash, ...(macs === 'stripped' ? { mac: null } : {}) })
      .where('id', '=', event.id)
      .execute();
    previous = hash;
  }
  const last = trail.at(-1);
  await trx
    .updateTable('refunds')
    .set({
      event_hash: previous,
      event_sequence: trail.length,
      event_mac: macs === 'stripped' ? null : (last?.mac ?? null),
      ...(macs === 'stripped' ? { event_seal: null } : {}),
    })
    .where('id', '=', refundId)
    .execute();
}

const changeAmount = (trx: LedgerTransaction, refundId: string) =>
  sql`UPDATE refund_events SET data = jsonb_set(data, '{amount_minor}', '999')
      WHERE refund_id = ${refundId} AND sequence = 1`.execute(trx);

const removeEvents = (trx: LedgerTransaction, refundId: string, from: number) =>
  trx.deleteFrom('refund_events').where('refund_id', '=', refundId).where('sequence', '>=', from).execute();

async function removeRefund(trx: LedgerTransaction, refundId: string): Promise<void> {
  await removeEvents(trx, refundId, 1);
  const gone = await trx
    .deleteFrom('refunds')
    .where('id', '=', refundId)
    .returningAll()
    .executeTakeFirstOrThrow();
  await trx.deleteFrom('idempotency').where('refund_id', '=', refundId).execute();
  await trx
    .updateTable('payments')
    .set((set) => ({ reserved_minor: set('reserved_minor', '-', gone.amount_minor) }))
    .where('id', '=', gone.payment_id)
    .execute();
}

function firstBreak({ breaks }: Verification) {
  const [first] = breaks;
  return first ? [first.trail.id, first.sequence, first.what] : null;
}

async function headOf(db: Database): Promise<string[]> {
  const lines: string[] = [];
  await exportHead(db, async (line) => void lines.push(line), Date.parse('2026-03-11T00:00:00Z'));
  return lines;
}

async function* each(lines: readonly string[]): AsyncGenerator<string> {
  yield* lines;
}

async function verifyWith(db: Database, lines: readonly string[]): Promise<Verification> {
  const trust = await judgeHead(() => each(lines), auditMacsOf(db));
  if (trust.kind === 'damaged') throw new Error(trust.why);
  return verifyLedger(db, (trx, seen) =>
    compareWithHead(trx, () => each(lines), { closing: trust.closing, seen }),
  );
}

describe('a ledger that nobody touched', () => {
  it('is whole, and every event is covered', async () => {
    const { scene } = await tell();
    const seen = await verifyLedger(scene.db);
    expect(seen).toMatchObject({ refunds: 2, payments: 1, brokenTrails: 0, trailsWithoutMac: 0 });
    expect(seen.coverage.covered).toBe(seen.coverage.events);
    expect(seen.coverage.events).toBeGreaterThan(4);
    expect(await verifyWith(scene.db, await headOf(scene.db))).toMatchObject({ brokenTrails: 0 });
  });

  it('is whole at every instant while it is written to', async () => {
    const { scene } = await tell();
    const writing = Promise.all(Array.from({ length: 6 }, () => refundsOf(scene)));
    const looks = [];
    for (let look = 0; look < 8; look += 1) looks.push(await verifyLedger(scene.db));
    await writing;
    expect(looks.flatMap(({ breaks }) => breaks)).toEqual([]);
    expect(await verifyLedger(scene.db)).toMatchObject({ refunds: 14, brokenTrails: 0 });
  });

  it('stays whole in more pages than one', async () => {
    const { scene, paymentId } = await tell();
    await sql`UPDATE payments SET amount_minor = 10000000`.execute(scene.db);
    for (let made = 0; made < 2; made += 1) await scene.refund(paymentId, { amountMinor: 1 });
    await tamper(scene.db, (trx) => copyRefunds(trx, 1_100));
    const seen = await verifyLedger(withKeys(scene, null));
    expect(seen).toMatchObject({ refunds: 1_104, brokenTrails: 0 });
  });
});

/** Pending refunds of one event each, which nobody with a key wrote. */
async function copyRefunds(trx: LedgerTransaction, count: number): Promise<void> {
  const [model] = await trx.selectFrom('refunds').selectAll().where('status', '=', 'pending').execute();
  const created = await trx
    .selectFrom('refund_events')
    .selectAll()
    .where('refund_id', '=', model?.id ?? '')
    .where('sequence', '=', 1)
    .executeTakeFirstOrThrow();
  if (!model) throw new Error('there is no refund to copy');
  const copies = Array.from({ length: count }, (_, at) => {
    const content = { ...contentOf(created), refund_id: `rfd_copy_${at}` };
    return { content, hash: eventHash(content, '') };
  });
  const refunds = copies.map(({ content, hash }) => ({
    ...model,
    id: content.refund_id,
    metadata: JSON.stringify(model.metadata),
    provider_error: null,
    evidence: null,
    event_sequence: 1,
    event_hash: hash,
    event_mac: null,
    event_seal: null,
  }));
  const events = copies.map(({ content, hash }) => ({
    ...content,
    occurred_at: created.occurred_at,
    data: JSON.stringify(content.data),
    previous_hash: '',
    hash,
    mac: null,
  }));
  await trx.insertInto('refunds').values(refunds).execute();
  await trx.insertInto('refund_events').values(events).execute();
  await trx
    .updateTable('payments')
    .set((set) => ({ reserved_minor: set('reserved_minor', '+', count * model.amount_minor) }))
    .where('id', '=', model.payment_id)
    .execute();
}

describe('without any key, the hash chain alone finds', () => {
  it.each<[string, (trx: LedgerTransaction, id: string) => Promise<unknown>, number | null, RegExp]>([
    ['a changed event', changeAmount, 1, /hash does not fit/],
    [
      'a removed event',
      (trx, id) => sql`DELETE FROM refund_events WHERE refund_id = ${id} AND sequence = 2`.execute(trx),
      2,
      /missing: 3 comes next/,
    ],
    [
      'two events that changed places',
      async (trx, id) => {
        await sql`UPDATE refund_events SET sequence = 99 WHERE refund_id = ${id} AND sequence = 2`.execute(
          trx,
        );
        await sql`UPDATE refund_events SET sequence = 2 WHERE refund_id = ${id} AND sequence = 3`.execute(
          trx,
        );
        await sql`UPDATE refund_events SET sequence = 3 WHERE refund_id = ${id} AND sequence = 99`.execute(
          trx,
        );
      },
      2,
      /does not follow/,
    ],
    ['a cut tail', (trx, id) => removeEvents(trx, id, 3), 3, /the trail is cut/],
    ['a trail that is gone', (trx, id) => removeEvents(trx, id, 1), 1, /the trail is cut/],
    [
      'a refund that is gone while its trail is not',
      (trx, id) => trx.deleteFrom('refunds').where('id', '=', id).execute(),
      null,
      /the refund itself is gone/,
    ],
    [
      'a status that the trail does not tell',
      (trx, id) =>
        sql`UPDATE refunds SET status = 'failed', money = 'released', failure_reason = 'provider_declined' WHERE id = ${id}`.execute(
          trx,
        ),
      null,
      /status is failed, its trail says succeeded/,
    ],
    [
      'an amount that nobody asked for',
      (trx, id) => sql`UPDATE refunds SET amount_minor = 1001 WHERE id = ${id}`.execute(trx),
      null,
      /amount is 1001, its trail says 1000/,
    ],
    [
      'a description that nobody gave',
      (trx, id) => sql`UPDATE refunds SET description = 'another' WHERE id = ${id}`.execute(trx),
      null,
      /description/,
    ],
  ])('%s, and names it', async (_, work, sequence, what) => {
    const { scene, succeeded } = await tell(null);
    await tamper(scene.db, (trx) => work(trx, succeeded));
    const seen = await verifyLedger(scene.db);
    expect(firstBreak(seen)).toEqual([succeeded, sequence, expect.stringMatching(what)]);
  });

  it('an event that was put in, and one in the trail of a payment', async () => {
    const { scene, succeeded, paymentId } = await tell(null);
    await tamper(scene.db, async (trx) => {
      await sql`INSERT INTO refund_events (payment_id, refund_id, sequence, type, origin, actor, occurred_at, data, previous_hash, hash)
        SELECT payment_id, refund_id, sequence + 1, type, origin, actor, occurred_at, data, hash, hash FROM refund_events
        WHERE refund_id = ${succeeded} ORDER BY sequence DESC LIMIT 1`.execute(trx);
      await sql`UPDATE refund_events SET actor = 'eve' WHERE payment_id = ${paymentId} AND refund_id IS NULL`.execute(
        trx,
      );
    });
    const seen = await verifyLedger(scene.db);
    expect(seen.brokenTrails).toBe(2);
    expect(firstBreak(seen)).toEqual([
      succeeded,
      expect.any(Number),
      expect.stringMatching(/hash does not fit/),
    ]);
    expect(seen.breaks[1]).toMatchObject({ trail: { kind: 'payment', id: paymentId }, sequence: 1 });
  });

  it('books that their refunds do not explain', async () => {
    const { scene, pending, paymentId } = await tell(null);
    await tamper(scene.db, async (trx) => {
      await removeEvents(trx, pending, 1);
      await trx.deleteFrom('refunds').where('id', '=', pending).execute();
    });
    expect(firstBreak(await verifyLedger(scene.db))).toEqual([
      paymentId,
      null,
      'the payment has 1000 reserved, its refunds make 0',
    ]);
  });

  it('never calls it covered', async () => {
    const { scene } = await tell(null);
    const { coverage } = await verifyLedger(scene.db);
    expect([coverage.covered, coverage.withoutMac]).toEqual([0, coverage.events]);
  });
});

describe('whoever recomputes the whole hash chain without the keys', () => {
  it('is found by the MAC of the event that they changed', async () => {
    const { scene, succeeded } = await tell();
    await tamper(scene.db, async (trx) => {
      await changeAmount(trx, succeeded);
      await trx.updateTable('refunds').set({ amount_minor: 999 }).where('id', '=', succeeded).execute();
      await recompute(trx, succeeded, 'kept');
    });
    expect(firstBreak(await verifyLedger(scene.db))).toEqual([succeeded, 1, expect.stringMatching(/MAC/)]);
  });

  it('is found where they took all MACs of the trail away', async () => {
    const { scene, pending } = await tell();
    await tamper(scene.db, async (trx) => {
      await changeAmount(trx, pending);
      await recompute(trx, pending, 'stripped');
    });
    expect(firstBreak(await verifyLedger(scene.db))).toEqual([
      pending,
      1,
      expect.stringMatching(/has no MAC/),
    ]);
  });

  it('is found where they name a key that nobody has', async () => {
    const { scene, pending } = await tell();
    await tamper(scene.db, async (trx) => {
      await changeAmount(trx, pending);
      await recompute(trx, pending, 'stripped');
      await sql`UPDATE refund_events SET mac = 'v1.gone.AAAA' WHERE refund_id = ${pending}`.execute(trx);
      await sql`UPDATE refunds SET event_mac = 'v1.gone.AAAA' WHERE id = ${pending}`.execute(trx);
    });
    expect(firstBreak(await verifyLedger(scene.db))).toEqual([
      pending,
      1,
      expect.stringMatching(/names the key gone/),
    ]);
  });

  it('is found where they cut the tail and write the end of what is left on the refund', async () => {
    const { scene, succeeded } = await tell();
    await tamper(scene.db, async (trx) => {
      await removeEvents(trx, succeeded, 3);
      await recompute(trx, succeeded, 'kept');
    });
    expect(firstBreak(await verifyLedger(scene.db))).toEqual([
      succeeded,
      2,
      expect.stringMatching(/MAC over the end of the trail does not fit/),
    ]);
  });

  it('is found in the trail of a payment as well', async () => {
    const { scene, paymentId } = await tell();
    await sql`UPDATE payments SET event_seal = 'v1.first.AAAA'`.execute(scene.db);
    expect(firstBreak(await verifyLedger(scene.db))).toEqual([
      paymentId,
      1,
      expect.stringMatching(/MAC over the end/),
    ]);
  });
});

describe('a refund that is gone without a trace', () => {
  it('is found against a head from before, and only there', async () => {
    const { scene, pending } = await tell();
    const head = await headOf(scene.db);
    await tamper(scene.db, (trx) => removeRefund(trx, pending));
    expect(firstBreak(await verifyLedger(scene.db))).toBeNull();
    expect(firstBreak(await verifyWith(scene.db, head))).toEqual([
      pending,
      1,
      expect.stringMatching(/the whole refund is gone/),
    ]);
  });

  it('is told apart from refunds that are new or went on since', async () => {
    const { scene, pending } = await tell();
    const head = await headOf(scene.db);
    await noteSomething(scene.db, pending);
    await refundsOf(scene);
    expect(await verifyWith(scene.db, head)).toMatchObject({ brokenTrails: 0, refunds: 4 });
  });

  it('is found where its row was put back to an earlier state, seal and all', async () => {
    const { scene, pending } = await tell();
    const before = await scene.refundRow(pending);
    await noteSomething(scene.db, pending);
    const head = await headOf(scene.db);
    await tamper(scene.db, async (trx) => {
      await removeEvents(trx, pending, before.event_sequence + 1);
      await trx
        .updateTable('refunds')
        .set({
          event_sequence: before.event_sequence,
          event_hash: before.event_hash,
          event_mac: before.event_mac,
          event_seal: before.event_seal,
        })
        .where('id', '=', pending)
        .execute();
    });
    const seen = await verifyWith(scene.db, head);
    expect(seen.breaks.map(({ what }) => what)).toContainEqual(
      expect.stringMatching(/the trail is cut: the head/),
    );
  });

  it('shows where a trail lost its MACs and got numbers from before the first key, which nothing else tells', async () => {
    const { scene, pending } = await tell();
    const head = await headOf(scene.db);
    const { pending: later } = await refundsOf(scene);
    const strip = async (trx: LedgerTransaction, refundId: string) => {
      await recompute(trx, refundId, 'stripped');
      await sql`ALTER TABLE refund_events ALTER id SET GENERATED BY DEFAULT`.execute(trx);
      await sql`UPDATE refund_events SET id = -id WHERE refund_id = ${refundId}`.execute(trx);
    };
    await tamper(scene.db, (trx) => strip(trx, later));
    const alone = await verifyLedger(scene.db);
    expect([alone.brokenTrails, alone.coverage.covered < alone.coverage.events]).toEqual([0, true]);
    expect((await verifyWith(scene.db, head)).breaks[0]?.what).toMatch(/1 trails end without a MAC, 0 did/);

    await tamper(scene.db, (trx) => strip(trx, pending));
    expect(firstBreak(await verifyWith(scene.db, head))).toEqual([
      pending,
      1,
      expect.stringMatching(/another one than the head knows/),
    ]);
  });

  it('can not be hidden by changing the head', async () => {
    const { scene, pending } = await tell();
    const head = await headOf(scene.db);
    const macs = auditMacsOf(scene.db);
    const without = head.filter((line) => !line.includes(pending));
    expect(await judgeHead(() => each(without), macs)).toMatchObject({ kind: 'damaged' });
    const other = await tell();
    const shorter = (await headOf(withKeys(other.scene, [SECOND]))).map((line) =>
      line.replace('v1.second.2.', 'v1.first.'),
    );
    expect(await judgeHead(() => each(shorter), macs)).toMatchObject({ kind: 'damaged' });
    expect(await judgeHead(() => each([]), macs)).toMatchObject({ kind: 'damaged' });
    expect(await judgeHead(() => each(head), null)).toMatchObject({ kind: 'unchecked' });
  });
});

/** One more event at the end of a trail, by the keys of this database. */
async function noteSomething(db: Database, refundId: string): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, refundId);
    await appendEvent(trx, refund, { type: 'noted', data: {} }, Date.parse('2026-03-12T00:00:00Z'));
  });
}

describe('keys that come and go', () => {
  it('tells what was written before the first key, and finds a change of it from then on', async () => {
    const { scene, pending } = await tell(null);
    const keyed = withKeys(scene, [FIRST]);
    await noteSomething(keyed, pending);
    const { coverage, brokenTrails, trailsWithoutMac } = await verifyLedger(keyed);
    expect([coverage.covered, coverage.withoutMac, brokenTrails]).toEqual([1, coverage.events - 1, 0]);
    expect(trailsWithoutMac).toBe(2);

    await tamper(scene.db, async (trx) => {
      await sql`UPDATE refund_events SET actor = 'eve' WHERE refund_id = ${pending} AND sequence = 1`.execute(
        trx,
      );
      await recompute(trx, pending, 'kept');
    });
    expect(firstBreak(await verifyLedger(keyed))).toEqual([pending, 2, expect.stringMatching(/MAC/)]);
    expect((await verifyLedger(scene.db)).coverage).toMatchObject({ unchecked: 1 });
  });

  it('goes on under a new key, and with the old one gone says what is no longer covered', async () => {
    const { scene, pending } = await tell();
    const rotated = withKeys(scene, [SECOND, FIRST]);
    await noteSomething(rotated, pending);
    const both = await verifyLedger(rotated);
    expect([both.brokenTrails, both.coverage.covered]).toEqual([0, both.coverage.events]);

    const { coverage, brokenTrails } = await verifyLedger(withKeys(scene, [SECOND]));
    const byFirst = coverage.unknownKeys.get('first') ?? 0;
    expect([brokenTrails, coverage.covered + byFirst]).toEqual([0, coverage.events]);
    expect(byFirst).toBeGreaterThan(0);
  });
});

describe('AUDIT_KEYS', () => {
  it('are what the API and the workers write the trail with', async () => {
    const keyRing = ({ id, secret }: typeof FIRST) => `${id}:${secret.toString('base64')}`;
    const config = readConfig({
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
      AUDIT_KEYS: `${keyRing(SECOND)},${keyRing(FIRST)}`,
    });
    const parts = buildParts(config, createLogger('test'));
    opened.push(parts);
    expect(auditMacsOf(parts.db)?.keyIds).toEqual(['second.2', 'first']);
    expect(auditMacsOf(parts.db)?.make({})).toMatch(/^v1\.second\.2\.[\w-]{43}$/);
  });
});

describe('npm run audit', () => {
  it('exits 0 where all is whole, 1 where something is broken, 2 where it could not look', async () => {
    const { scene, pending } = await tell();
    const service = await compileService();
    const folder = await mkdtemp(join(tmpdir(), 'estorno-audit-'));
    opened.push({
      close: async () => {
        await service.remove();
        await rm(folder, { recursive: true });
      },
    });
    const audit = (env: Record<string, string>, ...args: string[]) =>
      run(join(service.builtDir, 'src', 'audit.js'), args, env);
    const env = {
      DATABASE_URL: scene.url,
      AUDIT_KEYS: `${FIRST.id}:${FIRST.secret.toString('base64')}`,
    };

    const head = await audit(env, 'head');
    expect(head.code).toBe(0);
    const file = join(folder, 'head');
    await writeFile(file, head.out);
    const [whole, keyless, misread, nowhere, misconfigured] = await Promise.all([
      audit(env, 'verify', '--head', file),
      audit({ DATABASE_URL: scene.url }, 'verify'),
      audit(env, 'look'),
      audit({ ...env, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' }, 'verify'),
      audit({ ...env, AUDIT_KEYS: 'short:AAAA' }, 'verify'),
    ]);
    expect([whole.code, whole.out.trim().split('\n').at(-1)]).toEqual([0, 'whole']);
    expect(keyless).toMatchObject({
      code: 0,
      out: expect.stringMatching(/not covered: \d+ events have MACs/),
    });
    expect(keyless.out).not.toMatch(/^whole$/m);
    expect([misread.code, nowhere.code, misconfigured.code]).toEqual([2, 2, 2]);
    expect(misread.err).toMatch(/usage/);

    await tamper(scene.db, (trx) => changeAmount(trx, pending));
    const broken = await audit(env, 'verify');
    expect(broken).toMatchObject({
      code: 1,
      out: expect.stringContaining(`BROKEN: refund ${pending}, event 1: `),
    });
    await writeFile(file, (await readFile(file, 'utf8')).replace('"refund"', '"payment"'));
    expect(await audit(env, 'verify', '--head', file)).toMatchObject({
      code: 1,
      out: expect.stringMatching(/the head in .* can't be used/),
    });
  });
});

function run(file: string, args: readonly string[], env: Record<string, string>) {
  return new Promise<{ code: number | null; out: string; err: string }>((resolve, reject) => {
    const child = spawn(process.execPath, [file, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}
