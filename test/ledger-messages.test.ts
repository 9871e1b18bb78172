import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { takeLane } from '../src/ledger/lanes.js';
import { compensateRefund, moveToReview, settleRefund } from '../src/ledger/settlement.js';
import {
  eventsOf,
  peopleOf,
  RESEND_MS,
  SOON_MS,
  sumsOf,
  traceOf,
  type People,
} from './setup/approval-scene.js';
import { closeWithBooks } from './setup/books.js';
import {
  accepted,
  declined,
  done,
  notNow,
  openLedger,
  reading,
  shownRefund,
  START_MS,
  unknown,
  type LedgerScene,
} from './setup/ledger-scene.js';

let ledger: LedgerScene;
let people: People;
beforeAll(async () => {
  ledger = await openLedger();
  people = peopleOf(ledger);
});
afterAll(() => closeWithBooks(ledger));

const DAY_MS = 86_400_000;
const END_MS = START_MS + 7 * DAY_MS;
const LATE_MS = RESEND_MS + DAY_MS;
const OURS = shownRefund(1_000);
const WINDOW = { submitBeforeMs: START_MS + 9 * DAY_MS, deadlineMs: START_MS + 9 * DAY_MS + 600_000 };

const waiting = async (): Promise<string> =>
  ledger.refund(await ledger.payment(), { approvals: 2, window: WINDOW });
const unclearInReview = async (): Promise<string> => {
  const refundId = await ledger.refund(await ledger.payment());
  await ledger.submit(refundId, unknown());
  await moveToReview(ledger.db, refundId, 'unclear', SOON_MS);
  return refundId;
};

const windowEnds = (refundId: string, submitBefore: Date | null) =>
  ledger.db.updateTable('refunds').set({ submit_before: submitBefore }).where('id', '=', refundId).execute();

describe('a message that comes again', () => {
  type Say = (refundId: string, again: { nonce: string }) => Promise<object>;
  type Change = (refundId: string) => Promise<unknown>;
  const nothing: Change = () => Promise.resolve();
  it.each<[string, () => Promise<string>, Say, Change, undo: Change]>([
    [
      'an approval, once it is rejected',
      waiting,
      (refundId, again) => people.vote(refundId, 'bruno', again),
      (refundId) => people.reject(refundId, 'carla'),
      nothing,
    ],
    ['a rejection', waiting, (refundId, again) => people.reject(refundId, 'bruno', again), nothing, nothing],
    [
      'a refused vote, once it would be too late',
      waiting,
      (refundId, again) => people.vote(refundId, 'bruno', { ...again, contentHash: 'another' }),
      (refundId) => people.cancel(refundId),
      nothing,
    ],
    ['a cancel', waiting, (refundId, again) => people.cancel(refundId, again), nothing, nothing],
    [
      'a refused cancel, once nothing is on its way any more',
      async () => {
        const refundId = await ledger.refund(await ledger.payment());
        await ledger.submit(refundId, unknown());
        return refundId;
      },
      (refundId, again) => people.cancel(refundId, again),
      (refundId) => ledger.proveAbsent(refundId),
      nothing,
    ],
    [
      'an extension, once there was another',
      waiting,
      (refundId, again) => people.extend(refundId, END_MS + 1, { ...again, contentHash: 'content-hash' }),
      (refundId) => people.extend(refundId, END_MS + 2),
      nothing,
    ],
    [
      'a refused extension, which names what is later by now',
      waiting,
      (refundId, again) => people.extend(refundId, WINDOW.submitBeforeMs + 1, again),
      (refundId) => windowEnds(refundId, null),
      (refundId) => windowEnds(refundId, new Date(WINDOW.submitBeforeMs)),
    ],
    [
      'a resolution that was refused, once there is another review',
      async () => {
        const refundId = await ledger.refund(await ledger.payment());
        await ledger.submit(refundId, accepted('at-provider'));
        return refundId;
      },
      (refundId, again) => people.resolve(refundId, 'failed', { ...again, refundVersion: 4 }),
      (refundId) => moveToReview(ledger.db, refundId, 'never confirmed', SOON_MS),
      nothing,
    ],
  ])('changes nothing, and is told what came of it then: %s', async (_case, begin, say, meanwhile, undo) => {
    const refundId = await begin();
    const again = { nonce: randomUUID() };
    const first = await say(refundId, again);
    await meanwhile(refundId);
    const before = await traceOf(ledger, refundId);
    const second = await say(refundId, again);
    expect(verdictOf(second)).toEqual(verdictOf(first));
    expect(await traceOf(ledger, refundId)).toEqual(before);
    expect(before.messages).toBeGreaterThan(0);
    await undo(refundId);
  });

  it('is told of the refund as it stands by now', async () => {
    const refundId = await waiting();
    const again = { nonce: randomUUID(), contentHash: 'content-hash' };
    await people.vote(refundId, 'bruno', again);
    await people.vote(refundId, 'carla');
    expect(await people.vote(refundId, 'bruno', again)).toMatchObject({
      verdict: { kind: 'done' },
      standing: { state: 'approved' },
    });
  });

  it.each(['resend', 'failed'] as const)(
    'in another review than it was about says nothing of that one: %s',
    async (outcome) => {
      const refundId = await unclearInReview();
      const decision = { id: 'the same', nonce: randomUUID() };
      await people.resolve(refundId, outcome, decision);
      if (outcome === 'resend') {
        const nowMs = RESEND_MS;
        await ledger.submit(refundId, unknown(), { nowMs, reading: reading([], nowMs) });
        await moveToReview(ledger.db, refundId, 'unclear once more', nowMs);
      } else {
        await ledger.look(refundId, [OURS], { nowMs: LATE_MS });
      }
      const before = await traceOf(ledger, refundId);
      expect(before.refund.status).toBe('review');
      const copy = { ...decision, nowMs: LATE_MS };
      expect(await people.resolve(refundId, outcome, copy)).toEqual({ kind: 'notInReview' });
      expect(await people.resolve(refundId, outcome, { ...copy, nonce: randomUUID() })).toEqual({
        kind: 'notInReview',
      });
      expect(await traceOf(ledger, refundId)).toEqual(before);
    },
  );

  it('after a resend says how the votes stand by now, and how it ended', async () => {
    const refundId = await people.secondRound(await ledger.payment());
    const [event] = await eventsOf(ledger, refundId, 'review_resolved');
    const repeat = () => people.resolve(refundId, 'resend', { id: String(event?.data['resolution_id']) });
    await people.vote(refundId, 'bruno', { nowMs: LATE_MS });
    expect(await repeat()).toMatchObject({ kind: 'resend', attempt: 1, approval: { round: 2, missing: 1 } });
    await people.vote(refundId, 'carla', { nowMs: LATE_MS });
    expect(await repeat()).toEqual({ kind: 'resend', attempt: 1 });
    await people.cancel(refundId, { nowMs: LATE_MS });
    expect(await repeat()).toEqual({ kind: 'closed', status: 'canceled', wakeRefundId: null });
  });

  it('with the nonce of another refund, person or action is refused, and leaves nothing', async () => {
    const [refundId, other] = [await waiting(), await waiting()];
    const again = { nonce: randomUUID() };
    await people.vote(refundId, 'bruno', again);
    const before = [await traceOf(ledger, refundId), await traceOf(ledger, other)];
    for (const copy of [
      () => people.vote(other, 'bruno', again),
      () => people.vote(refundId, 'carla', again),
      () => people.reject(refundId, 'bruno', again),
      () => people.cancel(refundId, { ...again, actor: 'bruno' }),
      () => people.extend(other, END_MS + 1, again),
    ]) {
      await expect(copy()).rejects.toThrow('a nonce was used for another message');
    }
    const atOnce = await Promise.allSettled(
      [await waiting(), await waiting()].map((each) => people.vote(each, 'bruno', { nonce: 'one for both' })),
    );
    expect(atOnce.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect([await traceOf(ledger, refundId), await traceOf(ledger, other)]).toEqual(before);
    const inReview = await unclearInReview();
    await expect(people.resolve(inReview, 'failed', again)).rejects.toThrow('a nonce was used');
    expect((await ledger.refundRow(inReview)).status).toBe('review');
  });

  function verdictOf(told: object): unknown {
    return 'verdict' in told ? told.verdict : told;
  }
});

describe('a cancel', () => {
  it.each<[string, (refundId: string) => Promise<unknown>]>([
    ['waits for votes', async () => Promise.resolve()],
    ['waits for its last vote', (refundId) => people.vote(refundId, 'bruno')],
    ['is agreed on', (refundId) => agreed(refundId)],
    [
      'waits for balance',
      async (refundId) => {
        await agreed(refundId);
        await ledger.submit(refundId, notNow());
      },
    ],
    [
      'was declined, and is not closed yet',
      async (refundId) => {
        await agreed(refundId);
        await ledger.submit(refundId, declined());
      },
    ],
    [
      'was sent, and is proven absent',
      async (refundId) => {
        await agreed(refundId);
        await ledger.submit(refundId, unknown());
        await ledger.proveAbsent(refundId);
      },
    ],
  ])('ends a refund that %s, and gives its amount back once', async (_case, bring) => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId, { approvals: 2 });
    await bring(refundId);
    const all = await Promise.all([1, 2, 3].map(() => people.cancel(refundId)));
    expect(all.map(({ verdict }) => verdict.kind).sort()).toEqual(['done', 'repeated', 'repeated']);
    expect(all[0]?.standing).toMatchObject({ state: 'closed', status: 'canceled' });
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'canceled', money: 'released' });
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 0, 0]);
    expect(await ledger.laneHolder(paymentId)).toBeNull();
    expect(await eventsOf(ledger, refundId, 'refund_canceled')).toMatchObject([
      { actor: 'olga', request_id: 'req_olga', reason: 'no longer wanted', data: { amount_minor: 1_000 } },
    ]);
    const { approval_state: state } = await ledger.refundRow(refundId);
    expect(state).toBe(
      (await eventsOf(ledger, refundId, 'refund_approved')).length > 0 ? 'approved' : 'canceled',
    );
  });

  it.each<[string, string, (refundId: string) => Promise<unknown>]>([
    ['was claimed', 'pending', (refundId) => claimed(refundId)],
    ['has no clear answer', 'pending', (refundId) => ledger.submit(refundId, unknown())],
    ['was accepted', 'pending', (refundId) => ledger.submit(refundId, accepted())],
    [
      'was declined in words that may be ours',
      'pending',
      (refundId) => ledger.submit(refundId, declined(true)),
    ],
    ['has landed', 'pending', (refundId) => ledger.submit(refundId, done())],
    [
      'has succeeded',
      'succeeded',
      async (refundId) => {
        await ledger.submit(refundId, done());
        await settleRefund(ledger.db, refundId, SOON_MS);
      },
    ],
    [
      'a person must look at',
      'review',
      async (refundId) => moveToReview(ledger.db, refundId, 'look', SOON_MS),
    ],
    [
      'has failed',
      'failed',
      async (refundId) => compensateRefund(ledger.db, refundId, 'refund_window_expired', SOON_MS),
    ],
    ['was rejected', 'rejected', (refundId) => people.reject(refundId, 'bruno')],
    ['has expired', 'expired', (refundId) => people.expire(refundId, END_MS)],
  ])('does nothing to a refund that %s', async (_case, status, bring) => {
    const ended = ['rejected', 'expired'].includes(status);
    const refundId = await ledger.refund(await ledger.payment(), { approvals: ended ? 1 : 0 });
    await bring(refundId);
    const before = await traceOf(ledger, refundId);
    const { verdict, wakeRefundId } = await people.cancel(refundId);
    expect(before.refund.status).toBe(status);
    expect(verdict).toMatchObject({
      kind: 'refused',
      code: 'not_cancelable',
      detail: status === 'pending' ? 'It is on its way at the provider.' : expect.stringContaining(status),
    });
    expect(wakeRefundId).toBeNull();
    expect(await traceOf(ledger, refundId)).toEqual({ ...before, messages: before.messages + 1 });
  });

  it('gives the lane, or the place in the queue, back, and says who is next', async () => {
    const paymentId = await ledger.payment();
    const [holder, first, second] = await Promise.all(
      [1, 2, 3].map((at) => ledger.refund(paymentId, { nowMs: START_MS + at })),
    );
    if (!holder || !first || !second) throw new Error('three were asked for');
    for (const refundId of [holder, first, second]) await takeLane(ledger.db, refundId, SOON_MS);
    expect(await people.cancel(first)).toMatchObject({ verdict: { kind: 'done' }, wakeRefundId: null });
    expect(await ledger.laneHolder(paymentId)).toBe(holder);
    expect(await takeLane(ledger.db, first, SOON_MS)).toEqual({ kind: 'taken' });
    expect(await ledger.laneHolder(paymentId)).toBe(holder);
    expect(await people.cancel(holder)).toMatchObject({ verdict: { kind: 'done' }, wakeRefundId: second });
    expect(await takeLane(ledger.db, second, SOON_MS)).toEqual({ kind: 'taken' });
    expect(await ledger.laneHolder(paymentId)).toBe(second);
  });

  it('and a claim at once: exactly one wins, and nothing is ever sent of what was canceled', async () => {
    const wins = { cancel: 0, claim: 0 };
    for (let round = 0; round < 24; round += 1) {
      const paymentId = await ledger.payment();
      const refundId = await ledger.refund(paymentId);
      await takeLane(ledger.db, refundId, SOON_MS);
      const cancel = (): ReturnType<People['cancel']> => people.cancel(refundId);
      const claim = (): ReturnType<LedgerScene['claim']> => ledger.claim(refundId, 1);
      const [canceled, claiming] =
        round % 2 === 0
          ? await Promise.all([cancel(), claim()])
          : await Promise.all([claim(), cancel()]).then(([one, other]) => [other, one] as const);
      const { status } = await ledger.refundRow(refundId);
      const attempts = await ledger.attempts(refundId);
      if (canceled.verdict.kind === 'done') {
        wins.cancel += 1;
        expect([status, claiming.kind, attempts.length]).toEqual(['canceled', 'refundClosed', 0]);
        expect(await sumsOf(ledger, paymentId)).toEqual([0, 0, 0]);
      } else {
        wins.claim += 1;
        expect(canceled.verdict).toMatchObject({ kind: 'refused', code: 'not_cancelable' });
        expect([status, claiming.kind, attempts.length]).toEqual(['pending', 'claimed', 1]);
        expect(await sumsOf(ledger, paymentId)).toEqual([0, 1_000, 0]);
      }
    }
    expect(Math.min(wins.cancel, wins.claim)).toBeGreaterThan(0);
  });

  it('and whatever else ends it at once: the amount is given back once', async () => {
    for (let round = 0; round < 8; round += 1) {
      const paymentId = await ledger.payment();
      const refundId = await ledger.refund(paymentId, { approvals: 1 });
      await ledger.refund(paymentId, { amountMinor: 300 });
      await Promise.all([
        people.reject(refundId, 'bruno', { nowMs: END_MS - 1, contentHash: 'content-hash' }),
        people.cancel(refundId, { nowMs: END_MS }),
        people.expire(refundId, END_MS),
        compensateRefund(ledger.db, refundId, 'refund_window_expired', END_MS),
      ]);
      expect((await ledger.refundRow(refundId)).money).toBe('released');
      expect(await sumsOf(ledger, paymentId)).toEqual([0, 300, 0]);
    }
  });

  async function agreed(refundId: string): Promise<void> {
    await people.vote(refundId, 'bruno');
    await people.vote(refundId, 'carla');
  }
  async function claimed(refundId: string): Promise<void> {
    await takeLane(ledger.db, refundId, SOON_MS);
    await ledger.claim(refundId, 1);
  }
});
