import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Reminder } from '../src/domain/saga-state.js';
import { noteReminder } from '../src/ledger/approvals.js';
import { noteRepeat } from '../src/ledger/attempts.js';
import { takeLane } from '../src/ledger/lanes.js';
import { isPaused } from '../src/ledger/provider-switches.js';
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
const SECOND_END_MS = RESEND_MS + 7 * DAY_MS;
const LATE_MS = RESEND_MS + DAY_MS;
const OURS = shownRefund(1_000);
const WINDOW = { submitBeforeMs: START_MS + 9 * DAY_MS, deadlineMs: START_MS + 9 * DAY_MS + 600_000 };

const waiting = async (): Promise<string> =>
  ledger.refund(await ledger.payment(), { approvals: 2, window: WINDOW });

/** In its second round, with another refund that waits for its lane. */
async function secondRound(): Promise<{ refundId: string; paymentId: string; waiter: string }> {
  const paymentId = await ledger.payment();
  const refundId = await people.secondRound(paymentId);
  const waiter = await ledger.refund(paymentId, { amountMinor: 300 });
  await takeLane(ledger.db, waiter, LATE_MS);
  return { refundId, paymentId, waiter };
}

describe('the end of the time for votes', () => {
  it('is the end at the very instant, gives the amount back once, and says what ended it', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId, { approvals: 2 });
    await people.vote(refundId, 'bruno');
    expect(await people.expire(refundId, END_MS - 1)).toMatchObject({
      standing: { state: 'waiting', missing: 1, expiresAtMs: END_MS },
      wakeRefundId: null,
    });
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 1_000, 0]);
    const all = await Promise.all([1, 2, 3].map(() => people.expire(refundId, END_MS)));
    for (const expiry of all) expect(expiry).toMatchObject({ standing: { status: 'expired' } });
    expect(await ledger.refundRow(refundId)).toMatchObject({ approval_state: 'expired', money: 'released' });
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 0, 0]);
    expect(await eventsOf(ledger, refundId, 'refund_expired')).toMatchObject([
      { actor: 'estorno', data: { ended_by: 'policy', missing: 1, round: 1, amount_minor: 1_000 } },
    ]);
  });

  it('is the window’s where that is first, or where an operator moved it there', async () => {
    const clipped = { submitBeforeMs: START_MS + DAY_MS, deadlineMs: START_MS + DAY_MS + 600_000 };
    const first = await ledger.refund(await ledger.payment(), { approvals: 1, window: clipped });
    expect(await people.expire(first, clipped.submitBeforeMs - 1)).toMatchObject({
      standing: { state: 'waiting' },
    });
    const moved = await waiting();
    await people.extend(moved, WINDOW.submitBeforeMs);
    await people.expire(first, clipped.submitBeforeMs);
    await people.expire(moved, WINDOW.submitBeforeMs);
    for (const refundId of [first, moved]) {
      const [event] = await eventsOf(ledger, refundId, 'refund_expired');
      expect(event?.data['ended_by']).toBe('window');
    }
  });

  it('of what is decided already says how that stands', async () => {
    const refundId = await ledger.refund(await ledger.payment(), { approvals: 1 });
    await people.vote(refundId, 'bruno');
    expect(await people.expire(refundId, END_MS)).toMatchObject({ standing: { state: 'approved' } });
    await moveToReview(ledger.db, refundId, 'look', SOON_MS);
    expect(await people.expire(refundId, END_MS)).toMatchObject({ standing: { state: 'review' } });
  });

  it('is the only one beside people’s own: its process neither fails it nor asks for a review', async () => {
    const refundId = await waiting();
    const before = await traceOf(ledger, refundId);
    expect(await compensateRefund(ledger.db, refundId, 'refund_window_expired', SOON_MS)).toMatchObject({
      kind: 'refused',
    });
    await moveToReview(ledger.db, refundId, 'somebody says so', SOON_MS);
    expect(await settleRefund(ledger.db, refundId, SOON_MS)).toMatchObject({ kind: 'refused' });
    expect(await traceOf(ledger, refundId)).toEqual(before);
  });

  it('moves with an extension, either twice told or not, and never beyond the window', async () => {
    const refundId = await waiting();
    const extended = await Promise.all([1, 2].map(() => people.extend(refundId, END_MS + DAY_MS)));
    expect(extended.map(({ verdict }) => verdict.kind).sort()).toEqual(['done', 'repeated']);
    expect(extended[0]?.standing).toMatchObject({ state: 'waiting', expiresAtMs: END_MS + DAY_MS });
    expect(await eventsOf(ledger, refundId, 'approval_extended')).toMatchObject([
      {
        actor: 'olga',
        data: {
          expired_at: new Date(END_MS).toISOString(),
          expires_at: new Date(END_MS + DAY_MS).toISOString(),
        },
      },
    ]);
    expect(await people.expire(refundId, END_MS)).toMatchObject({ standing: { state: 'waiting' } });
    expect(await people.vote(refundId, 'bruno', { nowMs: END_MS + DAY_MS - 1 })).toMatchObject({
      verdict: { kind: 'done' },
    });
    const refused: [number, Parameters<People['extend']>[2], string][] = [
      [WINDOW.submitBeforeMs + 1, {}, 'extension_beyond_window'],
      [END_MS, {}, 'not_later'],
      [END_MS + DAY_MS - 1, {}, 'not_later'],
      [END_MS + 2 * DAY_MS, { contentHash: 'another' }, 'approval_conflict'],
      [END_MS + 2 * DAY_MS, { nowMs: END_MS + DAY_MS }, 'already_final'],
      [END_MS + DAY_MS, { nowMs: END_MS + DAY_MS }, 'already_final'],
    ];
    const before = await traceOf(ledger, refundId);
    for (const [at, given, code] of refused) {
      expect(await people.extend(refundId, at, given)).toMatchObject({ verdict: { kind: 'refused', code } });
    }
    expect(await traceOf(ledger, refundId)).toEqual({
      ...before,
      messages: before.messages + refused.length,
    });
    expect(await people.extend(refundId, WINDOW.submitBeforeMs)).toMatchObject({ verdict: { kind: 'done' } });
    await people.cancel(refundId);
    expect(await people.extend(refundId, WINDOW.submitBeforeMs - 1)).toMatchObject({
      verdict: { code: 'already_final', detail: 'The refund is canceled: it waits for no approval.' },
    });
  });

  it('of a second round gives the lane back, and says who is next', async () => {
    const { refundId, paymentId, waiter } = await secondRound();
    const expiry = await people.expire(refundId, SECOND_END_MS);
    // By then it has been silent for too long: its own timer wakes it.
    expect(expiry).toMatchObject({ standing: { status: 'expired' }, wakeRefundId: null });
    expect(await ledger.laneHolder(paymentId)).toBeNull();
    expect(await takeLane(ledger.db, waiter, SECOND_END_MS)).toEqual({ kind: 'taken' });
    const another = await secondRound();
    expect(await people.reject(another.refundId, 'davi', { nowMs: LATE_MS })).toMatchObject({
      wakeRefundId: another.waiter,
    });
    expect(await ledger.laneHolder(another.paymentId)).toBeNull();
  });
});

describe('an earlier sending that shows up while people decide once more', () => {
  it.each(['landed', 'open again'])(
    '%s: neither people nor its process end it, and it is settled by what is shown',
    async (sight) => {
      const { refundId, paymentId, waiter } = await secondRound();
      const shown = shownRefund(1_000, sight === 'landed' ? 'succeeded' : 'processing');
      await ledger.look(refundId, [shown], { nowMs: LATE_MS });
      const before = await ledger.refundRow(refundId);
      expect(before).toMatchObject({ status: 'requires_approval', money: 'reserved' });
      expect(await people.cancel(refundId, { nowMs: LATE_MS })).toMatchObject({
        verdict: { kind: 'refused', code: 'not_cancelable', detail: 'It is on its way at the provider.' },
      });
      expect(await compensateRefund(ledger.db, refundId, 'refund_window_expired', LATE_MS)).toMatchObject({
        kind: 'refused',
      });
      const repeat = { refundId, number: 1, sendByMs: LATE_MS + 2_000, nowMs: LATE_MS };
      expect(await noteRepeat(ledger.db, repeat)).toBe(false);
      expect((await ledger.refundRow(refundId)).version).toBe(before.version);
      expect(await ledger.laneHolder(paymentId)).toBe(refundId);
      if (sight !== 'landed') await ledger.look(refundId, [OURS], { nowMs: LATE_MS + 1 });
      await takeLane(ledger.db, waiter, LATE_MS);
      expect(await settleRefund(ledger.db, refundId, LATE_MS)).toMatchObject({ wakeRefundId: waiter });
      expect(await ledger.refundRow(refundId)).toMatchObject({
        status: 'succeeded',
        approval_state: 'canceled',
      });
      expect(await sumsOf(ledger, paymentId)).toEqual([1_000, 300, 0]);
    },
  );

  it('is not sent beside, however many agree', async () => {
    const { refundId } = await secondRound();
    await ledger.look(refundId, [OURS], { nowMs: LATE_MS });
    for (const actor of ['bruno', 'carla']) await people.vote(refundId, actor, { nowMs: LATE_MS });
    expect(await ledger.claim(refundId, 2, { nowMs: LATE_MS, reading: reading([OURS], LATE_MS) })).toEqual({
      kind: 'earlierOpen',
    });
    expect(await settleRefund(ledger.db, refundId, LATE_MS)).toMatchObject({ kind: 'closed' });
  });

  it.each(['landed', 'open again'])(
    '%s: neither a rejection nor the end gives anything back, and the provider decides',
    async (sight) => {
      const ends = {
        rejected: (refundId: string) => people.reject(refundId, 'bruno', { nowMs: LATE_MS }),
        expired: (refundId: string) => people.expire(refundId, SECOND_END_MS),
      };
      for (const [status, end] of Object.entries(ends)) {
        const { refundId, paymentId } = await secondRound();
        const shown = shownRefund(1_000, sight === 'landed' ? 'succeeded' : 'processing');
        await ledger.look(refundId, [shown], { nowMs: LATE_MS });
        for (let times = 0; times < 2; times += 1) {
          expect(await end(refundId)).toMatchObject({ standing: { state: 'review' }, wakeRefundId: null });
        }
        expect(await ledger.refundRow(refundId)).toMatchObject({
          status: 'review',
          review_reason: `It was ${status}, but an earlier sending of it shows up at the provider.`,
          review_ends_by: 'provider',
          money: 'reserved',
          approval_state: 'canceled',
        });
        const actor = status === 'rejected' ? 'bruno' : 'estorno';
        expect(await eventsOf(ledger, refundId, 'review_required')).toMatchObject([{}, { actor }]);
        expect(await ledger.laneHolder(paymentId)).toBe(refundId);
        expect(await sumsOf(ledger, paymentId)).toEqual([0, 1_300, 0]);
        await ledger.look(refundId, [OURS], { nowMs: LATE_MS + 1 });
        expect(await settleRefund(ledger.db, refundId, LATE_MS)).toMatchObject({ kind: 'closed' });
        expect(await sumsOf(ledger, paymentId)).toEqual([1_000, 300, 0]);
      }
    },
  );

  it('with another amount is a person’s to look at, and no vote counts any more', async () => {
    const paymentId = await ledger.payment({ provider: 'pagou' });
    const refundId = await people.secondRound(paymentId);
    const [attempt] = await ledger.attempts(refundId);
    await ledger.answer(refundId, attempt?.number ?? 0, accepted('at-provider'), LATE_MS);
    await ledger.look(refundId, [shownRefund(10, 'succeeded', 'at-provider')], { nowMs: LATE_MS });
    expect(await isPaused(ledger.db, 'pagou')).toBe(true);
    expect(await ledger.refundRow(refundId)).toMatchObject({
      status: 'review',
      review_ends_by: 'person',
      approval_state: 'canceled',
    });
    expect(await people.vote(refundId, 'davi', { nowMs: LATE_MS })).toMatchObject({
      verdict: { code: 'already_final' },
      standing: { state: 'review' },
    });
    expect(await people.expire(refundId, SECOND_END_MS)).toMatchObject({ standing: { state: 'review' } });
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 0, 10]);
  });
});

describe('money that shows up after the end', () => {
  const ends: [string, (refundId: string) => Promise<unknown>][] = [
    ['rejected', (refundId) => people.reject(refundId, 'davi', { nowMs: LATE_MS })],
    ['expired', (refundId) => people.expire(refundId, SECOND_END_MS)],
    ['canceled', (refundId) => people.cancel(refundId, { nowMs: LATE_MS })],
  ];

  it.each(ends)('of a refund that was %s counts at once, and a person must look', async (status, end) => {
    const { refundId, paymentId } = await secondRound();
    await end(refundId);
    expect((await ledger.refundRow(refundId)).status).toBe(status);
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 300, 0]);
    await ledger.look(refundId, [OURS], { nowMs: SECOND_END_MS + 1 });
    expect(await ledger.refundRow(refundId)).toMatchObject({
      status: 'review',
      review_ends_by: 'person',
      money: 'reserved',
      approval_state: status,
    });
    expect(await sumsOf(ledger, paymentId)).toEqual([0, 1_300, 0]);
    expect(await people.cancel(refundId)).toMatchObject({ verdict: { code: 'not_cancelable' } });
    expect(await people.vote(refundId, 'elisa')).toMatchObject({ verdict: { code: 'already_final' } });
    expect(await people.resolve(refundId, 'succeeded', { nowMs: SECOND_END_MS + 2 })).toMatchObject({
      kind: 'closed',
      status: 'succeeded',
    });
    expect(await sumsOf(ledger, paymentId)).toEqual([1_000, 300, 0]);
  });

  it.each(ends)(
    'of a refund that was %s is found by reconciliation too, room or not',
    async (_status, end) => {
      const paymentId = await ledger.payment({ amountMinor: 1_000 });
      const refundId = await people.secondRound(paymentId);
      await end(refundId);
      await ledger.refund(paymentId, { amountMinor: 600 });
      const found = await ledger.reconcile(paymentId, [OURS], { readAtMs: SECOND_END_MS + DAY_MS });
      expect(found.differences).toMatchObject([{ kind: 'landed_late', refundId }, { kind: 'overshoot' }]);
      expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', money: 'released' });
      expect(await sumsOf(ledger, paymentId)).toEqual([0, 600, 1_000]);
    },
  );
});

describe('what people are told meanwhile', () => {
  const note = (refundId: string, of: Reminder, nowMs = SOON_MS): Promise<boolean> =>
    noteReminder(ledger.db, refundId, of, nowMs).then(({ isNews }) => isNews);

  it('tells the process how the approval stands, be it news to people or not', async () => {
    const refundId = await waiting();
    const standing = async (number: number) =>
      (await noteReminder(ledger.db, refundId, { kind: 'reminder', round: 1, number }, SOON_MS)).standing;
    expect(await standing(1)).toMatchObject({ state: 'waiting', missing: 2 });
    await people.vote(refundId, 'bruno');
    expect(await standing(1)).toMatchObject({ state: 'waiting', missing: 1 });
    await people.vote(refundId, 'carla');
    expect(await standing(2)).toMatchObject({ state: 'approved' });
  });

  it('is told once, also by two at once, and changes nothing else', async () => {
    const refundId = await waiting();
    await people.vote(refundId, 'bruno');
    const before = await ledger.refundRow(refundId);
    const { deadlineMs, submitBeforeMs } = WINDOW;
    const told: [Reminder, number][] = [
      [{ kind: 'reminder', round: 1, number: 1 }, SOON_MS],
      [{ kind: 'reminder', round: 1, number: 2 }, SOON_MS],
      [{ kind: 'escalation', round: 1 }, SOON_MS],
      [{ kind: 'windowClosing', daysLeft: 7 }, deadlineMs - 7 * DAY_MS],
      [{ kind: 'windowClosing', daysLeft: 1 }, deadlineMs - DAY_MS],
    ];
    for (const [of, nowMs] of told) {
      const news = await Promise.all([1, 2, 3].map(() => note(refundId, of, nowMs)));
      expect(news.sort()).toEqual([false, false, true]);
    }
    const waits = { missing: 1, expires_at: new Date(END_MS).toISOString() };
    expect(await eventsOf(ledger, refundId, 'approval_reminder')).toMatchObject([
      { actor: 'estorno', data: { round: 1, number: 1, ...waits } },
      { data: { round: 1, number: 2, ...waits } },
    ]);
    expect(await eventsOf(ledger, refundId, 'approval_escalated')).toMatchObject([
      { data: { round: 1, ...waits } },
    ]);
    const window = {
      refund_deadline: new Date(deadlineMs).toISOString(),
      submit_before: new Date(submitBeforeMs).toISOString(),
    };
    expect(await eventsOf(ledger, refundId, 'window_closing')).toMatchObject([
      { data: { warned_at_days_left: 7, days_left: 7, ...window, ...waits } },
      { data: { warned_at_days_left: 1, days_left: 1, ...window, ...waits } },
    ]);
    const { event_hash: _hash, event_sequence: _sequence, ...after } = await ledger.refundRow(refundId);
    expect(before).toMatchObject(after);
  });

  it('is no news when a later one was told, in another round or after the end', async () => {
    const refundId = await people.secondRound(await ledger.payment(), { window: WINDOW });
    expect(await note(refundId, { kind: 'reminder', round: 2, number: 3 })).toBe(true);
    expect(await note(refundId, { kind: 'reminder', round: 2, number: 2 })).toBe(false);
    expect(await note(refundId, { kind: 'reminder', round: 1, number: 9 })).toBe(false);
    expect(await note(refundId, { kind: 'escalation', round: 1 })).toBe(false);
    expect(await note(refundId, { kind: 'windowClosing', daysLeft: 1 })).toBe(true);
    expect(await note(refundId, { kind: 'windowClosing', daysLeft: 2 })).toBe(false);
    await people.cancel(refundId);
    expect(await note(refundId, { kind: 'reminder', round: 2, number: 4 })).toBe(false);
    expect(await note(refundId, { kind: 'escalation', round: 2 })).toBe(false);
    const canceled = await waiting();
    await people.cancel(canceled);
    expect(await note(canceled, { kind: 'windowClosing', daysLeft: 7 })).toBe(false);
  });

  it('begins anew with each round, but for the window, which is one', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId, { approvals: 1, window: WINDOW });
    expect(await note(refundId, { kind: 'escalation', round: 1 })).toBe(true);
    expect(await note(refundId, { kind: 'reminder', round: 1, number: 5 })).toBe(true);
    expect(await note(refundId, { kind: 'windowClosing', daysLeft: 7 })).toBe(true);
    await people.vote(refundId, 'bruno');
    expect(await note(refundId, { kind: 'reminder', round: 1, number: 6 })).toBe(false);
    expect(await note(refundId, { kind: 'windowClosing', daysLeft: 2 })).toBe(true);
    expect((await eventsOf(ledger, refundId, 'window_closing')).at(-1)?.data).toMatchObject({
      pending_reason: 'validating',
    });
    await ledger.submit(refundId, unknown());
    await moveToReview(ledger.db, refundId, 'unclear', SOON_MS);
    await people.resolve(refundId, 'resend');
    expect(await note(refundId, { kind: 'escalation', round: 2 })).toBe(true);
    expect(await note(refundId, { kind: 'reminder', round: 2, number: 1 })).toBe(true);
    expect(await note(refundId, { kind: 'windowClosing', daysLeft: 2 })).toBe(false);
  });
});
