import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import { readConfig } from '../src/config.js';
import { contentOf } from '../src/ledger/audit/trail.js';
import { verifyLedger } from '../src/ledger/audit/verify.js';
import { auditMacsOf } from '../src/ledger/audit-macs.js';
import type { Database, LedgerTransaction } from '../src/ledger/database.js';
import { appendPaymentEvent, eventHash } from '../src/ledger/event-chain.js';
import { readEvidence } from '../src/ledger/evidence.js';
import { takeLane } from '../src/ledger/lanes.js';
import { moveToReview, settleRefund } from '../src/ledger/settlement.js';
import { castVote } from '../src/ledger/votes.js';
import { createLogger } from '../src/logger.js';
import { createAuditMacs } from '../src/signing/audit-mac.js';
import { buildParts, refuseWithoutAuditKeys } from '../src/wiring.js';
import { done, notNow, openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';
import {
  changeAmount,
  closeAllTold,
  forgetAllTold,
  FIRST,
  firstBreak,
  noteSomething,
  opened,
  recompute,
  refundsOf,
  removeEvents,
  SECOND,
  tamper,
  tell,
  withKeys,
} from './setup/tampered-ledger.js';

afterEach(forgetAllTold);
afterAll(closeAllTold);

describe('a ledger that nobody touched', () => {
  it('is whole, and every event is covered', async () => {
    const { scene } = await tell();
    const seen = await verifyLedger(scene.db);
    expect(seen).toMatchObject({ refunds: 2, payments: 1, brokenTrails: 0, trailsWithoutMac: 0 });
    expect(seen.coverage.covered).toBe(seen.coverage.events);
    expect(seen.coverage.events).toBeGreaterThan(4);
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
    const { scene } = await tell(null);
    const model = await scene.refund(await scene.payment({ amountMinor: 10_000_000 }), { amountMinor: 1 });
    await tamper(scene.db, (trx) => copyRefunds(trx, model, 1_100));
    expect(await verifyLedger(scene.db)).toMatchObject({ refunds: 1_103, brokenTrails: 0 });
  });
});

/** Pending refunds of one event each, which nobody with a key wrote. */
async function copyRefunds(trx: LedgerTransaction, refundId: string, count: number): Promise<void> {
  const model = await trx
    .selectFrom('refunds')
    .selectAll()
    .where('id', '=', refundId)
    .executeTakeFirstOrThrow();
  const created = await trx
    .selectFrom('refund_events')
    .selectAll()
    .where('refund_id', '=', refundId)
    .where('sequence', '=', 1)
    .executeTakeFirstOrThrow();
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
      /status is "failed", its trail says "succeeded"/,
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

describe('a call that never left, of a refund that was in review by then', () => {
  it.each([
    ['is not asked of a trail that was not made to tell it', true, []],
    ['is missed in one that was', false, [/attempt 1 was not_sent/]],
  ])('%s', async (_case, isOlder, breaks) => {
    const { scene } = await tell(null);
    const id = await scene.refund(await scene.payment());
    await takeLane(scene.db, id, START_MS);
    await scene.claim(id, 1);
    await moveToReview(scene.db, id, 'a test', START_MS);
    await scene.answer(id, 1, notNow());
    expect(await verifyLedger(scene.db)).toMatchObject({ breaks: [] });
    await tamper(scene.db, async (trx) => {
      const { event_sequence: last } = await scene.refundRow(id);
      await removeEvents(trx, id, last);
      if (isOlder) {
        await sql`UPDATE refund_events SET data = data - 'request_hash'
                  WHERE refund_id = ${id} AND sequence = 1`.execute(trx);
      }
      await recompute(trx, id, 'kept');
    });
    const found = (await verifyLedger(scene.db)).breaks.map(({ what }) => what);
    expect(found).toEqual(breaks.map((what) => expect.stringMatching(what)));
  });
});

describe('what stands in a row and not in its trail is found', () => {
  let scene: LedgerScene;
  beforeAll(async () => {
    scene = await openLedger({ auditMacs: createAuditMacs({ keys: [FIRST] }) });
    await sql`ALTER TABLE refunds DROP CONSTRAINT refunds_approval_whole`.execute(scene.db);
  });
  afterAll(async () => {
    // Each of the cases below, by whoever reads the whole ledger.
    expect((await verifyLedger(scene.db)).brokenTrails).toBeGreaterThanOrEqual(21);
    await scene.close();
  });
  const anyRow = (table: string, column: string, value: string) => (trx: LedgerTransaction, id: string) =>
    sql`UPDATE ${sql.table(table)} SET ${sql.ref(column)} = ${sql.raw(value)} WHERE ${sql.ref(table === 'refunds' ? 'id' : 'refund_id')} = ${id}`.execute(
      trx,
    );
  const payment = (column: string, value: string) => (trx: LedgerTransaction, id: string) =>
    sql`UPDATE payments SET ${sql.ref(column)} = ${sql.raw(value)} WHERE id = (SELECT payment_id FROM refunds WHERE id = ${id})`.execute(
      trx,
    );
  it.each<[string, (trx: LedgerTransaction, id: string) => Promise<unknown>, RegExp]>([
    ['another decision', anyRow('votes', 'decision', `'reject'`), /the vote of bruno is not what/],
    ['another comment', anyRow('votes', 'comment', `'never said'`), /the vote of bruno is not what/],
    ['another voter', anyRow('votes', 'actor', `'eve'`), /the vote of bruno is gone/],
    [
      'a vote too few',
      (trx, id) => trx.deleteFrom('votes').where('refund_id', '=', id).execute(),
      /the vote of bruno is gone/,
    ],
    [
      'a vote too many',
      (trx, id) =>
        sql`INSERT INTO votes SELECT refund_id, round, 'eve', decision, content_hash, comment, proof, request_id, voted_at
            FROM votes WHERE refund_id = ${id}`.execute(trx),
      /the trail tells of no vote of eve/,
    ],
    ['another key', anyRow('provider_attempts', 'idempotency_key', `'other'`), /attempt 1 is not what/],
    ['another sending', anyRow('provider_attempts', 'number', '2'), /attempt 1 is gone/],
    [
      'other entries before it',
      anyRow('provider_attempts', 'snapshot', `snapshot || '{"refunds":[{"amountMinor":1}]}'`),
      /attempt 1 is not what/,
    ],
    [
      'a sending that was proven absent',
      anyRow('provider_attempts', 'conclusion', `'absent'`),
      /does not tell that attempt 1 was absent/,
    ],
    [
      'the id of another refund there',
      anyRow('refunds', 'provider_refund_id', `'x'`),
      /provider refund id is "x"/,
    ],
    ['no approval', anyRow('refunds', 'approvals_required', '7'), /approvals required is 7/],
    [
      'a later end of the window',
      anyRow('refunds', 'submit_before', `'2030-01-01'`),
      /submit before is "2030/,
    ],
    ['another instant', anyRow('refunds', 'updated_at', `'infinity'`), /never writes/],
    ['a payment of more', payment('amount_minor', '99999999'), /the payment's amount is 99999999/],
    ['a payment of today', payment('paid_at', `'2026-03-10'`), /the payment's paid at is "2026-03-10/],
    ['money moved outside', payment('external_minor', '1'), /the payment's external is 1, its trail says 0/],
    [
      'money that was given back',
      async (trx, id) => {
        await sql`UPDATE refunds SET status = 'review', review_reason = 'x', review_ends_by = 'person', money = 'released'
          WHERE id = ${id}`.execute(trx);
        await payment('refunded_minor', '0')(trx, id);
      },
      /status is "review", its trail says "succeeded"/,
    ],
  ])('%s', async (_, work, what) => {
    const voted = await votedRefund(scene);
    expect(await breaksOf(voted)).toEqual([]);
    await tamper(scene.db, (trx) => work(trx, voted));
    expect((await breaksOf(voted))[0]).toMatch(what);
  });

  it.each([
    [`data = 'null'`],
    [`data = '{"n": 1e400}'`],
    [`occurred_at = 'infinity'`],
    [`data = '{"version": {}, "approval": 7, "status": []}'`],
  ])('an event that no service writes, without stopping at it: %s', async (change) => {
    const voted = await votedRefund(scene);
    await tamper(scene.db, (trx) =>
      sql`UPDATE refund_events SET ${sql.raw(change)} WHERE refund_id = ${voted} AND type = 'vote_cast'`.execute(
        trx,
      ),
    );
    expect((await breaksOf(voted))[0]).toMatch(/hash does not fit|what the service never writes/);
  });

  async function breaksOf(refundId: string): Promise<string[]> {
    const evidence = await readEvidence(scene.db, refundId);
    return evidence?.verification.breaks.map(({ what }) => what) ?? [];
  }
});

/** Agreed on by one person, sent and settled. */
async function votedRefund(scene: LedgerScene): Promise<string> {
  const id = await scene.refund(await scene.payment(), { approvals: 1 });
  const vote = {
    refundId: id,
    nonce: `of-${id}`,
    actor: 'bruno',
    proof: 'v1.test.proof',
    requestId: 'req_vote',
  };
  const content = { action: 'approve', contentHash: 'content-hash', comment: 'as told' } as const;
  await castVote(scene.db, { ...vote, ...content }, START_MS);
  await scene.submit(id, done(`at-provider-${id}`));
  await settleRefund(scene.db, id, START_MS + 2_000);
  return id;
}

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

function notePayment(db: Database, paymentId: string): Promise<void> {
  const who = { origin: 'service', actor: 'ana', reason: null, requestId: null } as const;
  const event = { ...who, paymentId, type: 'noted', occurredAtMs: START_MS, data: {} };
  return db.transaction().execute((trx) => appendPaymentEvent(trx, event));
}

describe('a cut in the trail of a payment', () => {
  it('is not healed by what the service writes after it', async () => {
    const { scene, paymentId } = await tell();
    await notePayment(scene.db, paymentId);
    await tamper(scene.db, (trx) =>
      trx.deleteFrom('refund_events').where('refund_id', 'is', null).where('sequence', '=', 2).execute(),
    );
    await notePayment(scene.db, paymentId);
    expect(firstBreak(await verifyLedger(scene.db))).toEqual([
      paymentId,
      2,
      expect.stringMatching(/missing/),
    ]);
  });
});

describe('a process without the keys', () => {
  it('writes nothing once there are MACs, so that it leaves no break behind', async () => {
    const { scene, pending, paymentId } = await tell();
    const keyless = withKeys(scene, null);
    await expect(noteSomething(keyless, pending)).rejects.toThrow('AUDIT_KEYS is not set');
    await expect(notePayment(keyless, paymentId)).rejects.toThrow('AUDIT_KEYS is not set');
    expect(await verifyLedger(scene.db)).toMatchObject({ brokenTrails: 0, trailsWithoutMac: 0 });
  });

  it('does not start once there are MACs, and does before', async () => {
    const start = async (url: string, env: Record<string, string> = {}): Promise<void> => {
      const config = readConfig({ DATABASE_URL: url, ...env });
      const parts = buildParts(config, createLogger('test'));
      await refuseWithoutAuditKeys(config, parts);
      opened.push(parts);
    };
    const [{ scene: keyed }, { scene: unkeyed }] = await Promise.all([tell(), tell(null)]);
    await expect(start(keyed.url)).rejects.toThrow(/^AUDIT_KEYS is not set.*need the keys/);
    await start(keyed.url, { AUDIT_KEYS: `first:${FIRST.secret.toString('base64')}` });
    await start(unkeyed.url);
    await start('postgres://nobody@127.0.0.1:1/none');
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
