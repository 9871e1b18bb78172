import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import { FAILURE_REASONS, type FailureReason } from '../src/domain/refund.js';
import { takeLane } from '../src/ledger/lanes.js';
import type { EventRow } from '../src/ledger/refund-reads.js';
import { transition } from '../src/ledger/refunds.js';
import { compensateRefund, moveToReview, settleRefund } from '../src/ledger/settlement.js';
import { forgetWithBooks, verifyChain } from './setup/books.js';
import {
  accepted,
  declined,
  done,
  notNow,
  openLedger,
  START_MS,
  unknown,
  type LedgerScene,
} from './setup/ledger-scene.js';

let ledger: LedgerScene;
beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(() => forgetWithBooks(ledger));
afterAll(() => ledger.close());

const MINUTE_MS = 60_000;
const settle = (refundId: string) => settleRefund(ledger.db, refundId, START_MS);
const compensate = (refundId: string, reason: FailureReason = 'provider_unavailable') =>
  compensateRefund(ledger.db, refundId, reason, START_MS);

describe('settling', () => {
  it('moves the money once, however often and by how many at once it is asked', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    const waiting = await ledger.refund(paymentId);
    await ledger.submit(refundId, done('at-provider'));
    await takeLane(ledger.db, waiting, START_MS);
    const closings = await Promise.all(Array.from({ length: 10 }, () => settle(refundId)));
    closings.push(await settle(refundId));
    for (const closing of closings) {
      expect(closing).toMatchObject({
        kind: 'closed',
        refund: { status: 'succeeded', version: 3, provider_refund_id: 'at-provider' },
      });
    }
    // One of them gave the lane back, and names who waits for it.
    const woken = closings.flatMap((closing) =>
      closing.kind === 'closed' ? (closing.wakeRefundId ?? []) : [],
    );
    expect(woken).toEqual([waiting]);
    expect(await ledger.laneHolder(paymentId)).toBeNull();
    expect(await ledger.paymentRow(paymentId)).toMatchObject({
      refunded_minor: 1_000,
      reserved_minor: 1_000,
    });
  });

  it('is refused without an attempt that landed by the ledger’s own record', async () => {
    const paymentId = await ledger.payment({ provider: 'picpay' });
    for (const outcome of [null, accepted(), declined(), unknown(), notNow()]) {
      const refundId = await ledger.refund(paymentId, { amountMinor: 100 });
      await takeLane(ledger.db, refundId, START_MS);
      if (outcome) {
        await ledger.claim(refundId, 1, { needsLane: false });
        await ledger.answer(refundId, 1, outcome);
      }
      expect(await settle(refundId)).toEqual({ kind: 'refused', why: 'no attempt has landed' });
    }
  });

  it('is refused while another attempt of the refund is open again', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    await ledger.submit(refundId, unknown());
    await ledger.proveAbsent(refundId);
    await ledger.submit(refundId, done('second'));
    await ledger.answer(refundId, 1, accepted('first'));
    expect(await settle(refundId)).toEqual({ kind: 'refused', why: 'an attempt is open' });
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', money: 'reserved' });
  });

  it('works from review too', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    await ledger.submit(refundId, done());
    await moveToReview(ledger.db, refundId, 'why not', START_MS);
    expect(await settle(refundId)).toMatchObject({ kind: 'closed', refund: { status: 'succeeded' } });
  });
});

describe('compensating', () => {
  it('gives the reservation back once, with the lane, and says why', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    const waiting = await ledger.refund(paymentId);
    await ledger.submit(refundId, declined());
    await takeLane(ledger.db, waiting, START_MS);
    const closings = await Promise.all(
      Array.from({ length: 10 }, () => compensate(refundId, 'provider_declined')),
    );
    closings.push(await compensate(refundId));
    for (const closing of closings) {
      expect(closing).toMatchObject({
        kind: 'closed',
        refund: {
          status: 'failed',
          failure_reason: 'provider_declined',
          provider_error: { code: 'refused', message: 'no' },
        },
      });
    }
    const woken = closings.flatMap((closing) =>
      closing.kind === 'closed' ? (closing.wakeRefundId ?? []) : [],
    );
    expect(woken).toEqual([waiting]);
    expect(await ledger.laneHolder(paymentId)).toBeNull();
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ refunded_minor: 0, reserved_minor: 1_000 });
  });

  it('is refused while an attempt is open or has landed', async () => {
    for (const outcome of [null, accepted(), unknown(), done()]) {
      const refundId = await ledger.refund(await ledger.payment());
      await takeLane(ledger.db, refundId, START_MS);
      await ledger.claim(refundId, 1);
      if (outcome) await ledger.answer(refundId, 1, outcome);
      expect(await compensate(refundId)).toEqual({
        kind: 'refused',
        why: 'an attempt is open or has landed',
      });
    }
  });

  it('is refused for a reason that nobody knows, and as declined where nothing was', async () => {
    const sent = await ledger.refund(await ledger.payment());
    await ledger.submit(sent, unknown());
    await ledger.proveAbsent(sent);
    const unsent = await ledger.refund(await ledger.payment());
    for (const refundId of [sent, unsent]) {
      const before = await ledger.refundRow(refundId);
      for (const reason of ['the customer lied', '', { a: 1 }, null]) {
        expect(await compensate(refundId, reason as FailureReason)).toMatchObject({ kind: 'refused' });
      }
      expect(await compensate(refundId, 'provider_declined')).toMatchObject({ kind: 'refused' });
      expect(await ledger.refundRow(refundId)).toEqual(before);
    }
  });

  it.each(FAILURE_REASONS)('knows the reason %s', async (reason) => {
    const refundId = await ledger.refund(await ledger.payment());
    await ledger.submit(refundId, declined());
    expect(await compensate(refundId, reason)).toMatchObject({ refund: { failure_reason: reason } });
    const { db } = ledger;
    const another = sql`UPDATE refunds SET failure_reason = 'another' WHERE id = ${refundId}`.execute(db);
    await expect(another).rejects.toThrow('refunds_failure_known');
  });

  it('takes a refund that still waits out of the queue', async () => {
    const paymentId = await ledger.payment();
    const [holder, leaving] = [await ledger.refund(paymentId), await ledger.refund(paymentId)];
    await takeLane(ledger.db, holder, START_MS);
    await takeLane(ledger.db, leaving, START_MS);
    await compensate(leaving);
    await ledger.submit(holder, done());
    expect(await settle(holder)).toMatchObject({ kind: 'closed', wakeRefundId: null });
  });

  it('and settling at once end in one state that both report', async () => {
    for (const outcome of [done(), declined()]) {
      const refundId = await ledger.refund(await ledger.payment());
      await ledger.submit(refundId, outcome);
      const steps = [settle, compensate, settle, compensate].map((step) => step(refundId));
      const closings = await Promise.all(steps);
      const final = outcome.kind === 'done' ? 'succeeded' : 'failed';
      for (const closing of closings) {
        if (closing.kind === 'closed') expect(closing.refund.status).toBe(final);
      }
      expect((await settle(refundId)).kind).toBe('closed');
      expect(await compensate(refundId)).toMatchObject({ kind: 'closed', refund: { status: final } });
    }
  });
});

describe('the lane of a payment', () => {
  it('goes to the earliest deadline, then to the oldest, and those without a deadline come last', async () => {
    const paymentId = await ledger.payment();
    const holder = await ledger.refund(paymentId);
    await takeLane(ledger.db, holder, START_MS);
    const waiting = async (deadlineMinutes: number | null, ageMinutes: number): Promise<string> => {
      const deadlineMs = START_MS + (deadlineMinutes ?? 0) * MINUTE_MS;
      const window = deadlineMinutes === null ? null : { deadlineMs, submitBeforeMs: deadlineMs };
      const nowMs = START_MS - ageMinutes * MINUTE_MS;
      const refundId = await ledger.refund(paymentId, { amountMinor: 10, window, nowMs });
      await takeLane(ledger.db, refundId, START_MS);
      return refundId;
    };
    const inTime = await waiting(null, 9);
    const young = await waiting(60, 1);
    const old = await waiting(60, 2);
    const urgent = await waiting(30, 0);
    const order: string[] = [];
    for (let current: string | null = holder; current !== null;) {
      await compensate(current);
      const lanes = await Promise.all([inTime, young, old, urgent].map((id) => waitOrTake(id)));
      current = lanes.find((id) => id !== null) ?? null;
      if (current !== null) order.push(current);
    }
    expect(order).toEqual([urgent, old, young, inTime]);
  });

  it('is not snatched by a newcomer while somebody waits who was seen', async () => {
    const paymentId = await ledger.payment();
    const [holder, waiting, newcomer] = [
      await ledger.refund(paymentId),
      await ledger.refund(paymentId),
      await ledger.refund(paymentId, { nowMs: START_MS + MINUTE_MS }),
    ];
    await takeLane(ledger.db, holder, START_MS);
    expect(await takeLane(ledger.db, waiting, START_MS)).toEqual({ kind: 'busy', behindRefundId: holder });
    await compensate(holder);
    expect(await takeLane(ledger.db, newcomer, START_MS)).toEqual({ kind: 'busy', behindRefundId: waiting });
    expect(await takeLane(ledger.db, waiting, START_MS)).toEqual({ kind: 'taken' });
  });

  it('passes over a waiter that has been silent, who may still come back', async () => {
    const paymentId = await ledger.payment();
    const [holder, silent, present] = [
      await ledger.refund(paymentId),
      await ledger.refund(paymentId),
      await ledger.refund(paymentId, { nowMs: START_MS + 1 }),
    ];
    await takeLane(ledger.db, holder, START_MS);
    await takeLane(ledger.db, silent, START_MS);
    const laterMs = START_MS + 3 * MINUTE_MS;
    await takeLane(ledger.db, present, laterMs);
    expect(await compensateRefund(ledger.db, holder, 'provider_unavailable', laterMs)).toMatchObject({
      wakeRefundId: present,
    });
    expect(await takeLane(ledger.db, present, laterMs)).toEqual({ kind: 'taken' });
    expect(await takeLane(ledger.db, silent, laterMs)).toEqual({ kind: 'busy', behindRefundId: present });
  });

  it('is held by one of many who ask at once, and again by the same who asks again', async () => {
    const paymentId = await ledger.payment();
    const refundIds = await Promise.all(
      Array.from({ length: 12 }, () => ledger.refund(paymentId, { amountMinor: 10 })),
    );
    const answers = await Promise.all(refundIds.map((id) => takeLane(ledger.db, id, START_MS)));
    expect(answers.filter((answer) => answer.kind === 'taken')).toHaveLength(1);
    const holder = refundIds[answers.findIndex((answer) => answer.kind === 'taken')]!;
    expect(await takeLane(ledger.db, holder, START_MS)).toEqual({ kind: 'taken' });
    expect(await ledger.laneHolder(paymentId)).toBe(holder);
  });

  it('is never left in the hands of a refund that has ended', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await compensate(refundId);
    await takeLane(ledger.db, refundId, START_MS);
    expect(await ledger.laneHolder(paymentId)).toBeNull();
  });

  it('stays with a refund in review', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, unknown());
    await moveToReview(ledger.db, refundId, 'why not', START_MS);
    expect(await ledger.laneHolder(paymentId)).toBe(refundId);
  });
});

async function waitOrTake(refundId: string): Promise<string | null> {
  const { status } = await ledger.refundRow(refundId);
  if (status !== 'pending') return null;
  return (await takeLane(ledger.db, refundId, START_MS)).kind === 'taken' ? refundId : null;
}

describe('a transition', () => {
  it('is refused where the status may not follow, or where somebody else wrote in between', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    const stale = await ledger.refundRow(refundId);
    const change = { status: 'pending', pendingReason: 'queued' } as const;
    const write = (refund: typeof stale, to: Parameters<typeof transition>[2]) =>
      ledger.db
        .transaction()
        .execute((trx) => transition(trx, refund, to, { type: 'tested', data: {} }, START_MS));
    await write(stale, change);
    await expect(write(stale, change)).rejects.toThrow();
    await compensate(refundId);
    const failed = await ledger.refundRow(refundId);
    await expect(write(failed, change)).rejects.toThrow("a failed refund can't become pending");
    expect(await ledger.refundRow(refundId)).toEqual(failed);
    expect(await ledger.eventTypes({ refundId })).toEqual(['refund_created', 'tested', 'refund_failed']);
  });

  it('to success or out of the reservation is refused by the database where the money did not follow', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    const update = (columns: string) =>
      sql`UPDATE refunds SET ${sql.raw(columns)} WHERE id = ${refundId}`.execute(ledger.db);
    await expect(update("status = 'succeeded', pending_reason = NULL")).rejects.toThrow('check constraint');
    await expect(update("money = 'released'")).rejects.toThrow('check constraint');
    await expect(
      update("status = 'failed', pending_reason = NULL, failure_reason = 'provider_declined'"),
    ).rejects.toThrow('check constraint');
  });
});

describe('the trail', () => {
  async function trailOfASuccess(): Promise<{ refundId: string; events: () => Promise<EventRow[]> }> {
    const refundId = await ledger.refund(await ledger.payment());
    await ledger.submit(refundId, done('at-provider'));
    await settle(refundId);
    const trail = ledger.db.selectFrom('refund_events').selectAll().where('refund_id', '=', refundId);
    return { refundId, events: () => trail.orderBy('sequence').execute() };
  }

  it('refuses to be changed, shortened or emptied', async () => {
    await trailOfASuccess();
    for (const statement of [
      sql`UPDATE refund_events SET actor = 'nobody'`,
      sql`DELETE FROM refund_events`,
      sql`TRUNCATE refund_events`,
    ]) {
      await expect(statement.execute(ledger.db)).rejects.toThrow('append-only');
    }
  });

  it('tells of a refund in order, gapless, each event bound to the one before', async () => {
    const { events } = await trailOfASuccess();
    const trail = await events();
    expect(trail.map((event) => event.type)).toEqual([
      'refund_created',
      'attempt_claimed',
      'attempt_answered',
      'refund_succeeded',
    ]);
    verifyChain(trail);
  });

  it.each([
    [
      'data changed',
      `UPDATE refund_events SET data = jsonb_set(data, '{amount_minor}', '1') WHERE sequence = 1`,
    ],
    ['another actor', `UPDATE refund_events SET actor = 'somebody' WHERE sequence = 2`],
    [
      'another instant',
      `UPDATE refund_events SET occurred_at = occurred_at + interval '1 ms' WHERE sequence = 3`,
    ],
    ['an event removed', `DELETE FROM refund_events WHERE sequence = 3`],
  ])('shows %s behind its back', async (_, tampering) => {
    const { refundId, events } = await trailOfASuccess();
    await ledger.db.transaction().execute(async (trx) => {
      const untouched = await events();
      await sql`SET LOCAL session_replication_role = replica`.execute(trx);
      await sql`${sql.raw(tampering)} AND refund_id = ${refundId}`.execute(trx);
      const altered = trx.selectFrom('refund_events').selectAll().where('refund_id', '=', refundId);
      const trail = await altered.orderBy('sequence').execute();
      expect(trail).not.toEqual(untouched);
      expect(() => verifyChain(trail)).toThrow();
      await sql`DELETE FROM refund_events WHERE refund_id = ${refundId}`.execute(trx);
      await trx
        .insertInto('refund_events')
        .values(untouched.map(({ id: _id, ...event }) => ({ ...event, data: JSON.stringify(event.data) })))
        .execute();
    });
  });
});
