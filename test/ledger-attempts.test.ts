import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { attemptsOf, noteRepeat } from '../src/ledger/attempts.js';
import { takeLane } from '../src/ledger/lanes.js';
import { recordAnswer, recordNotNow, standingResult } from '../src/ledger/answers.js';
import { compensateRefund, moveToReview, settleRefund } from '../src/ledger/settlement.js';
import { forgetWithBooks } from './setup/books.js';
import {
  accepted,
  CAPABILITIES,
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
beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(() => forgetWithBooks(ledger));
afterAll(() => ledger.close());

const LATER_MS = START_MS + 600_000;

async function refundWithLane(options: { amountMinor?: number; provider?: string } = {}): Promise<string> {
  const refundId = await ledger.refund(await ledger.payment({ amountMinor: 10_000, ...options }));
  await takeLane(ledger.db, refundId, START_MS);
  return refundId;
}

/** One attempt, unclear, and then proven not to be there. */
async function absentAttempt(): Promise<string> {
  const refundId = await refundWithLane();
  await ledger.submit(refundId, unknown());
  expect(await ledger.proveAbsent(refundId)).toMatchObject({ kind: 'absent', proven: true });
  return refundId;
}

describe('a claim', () => {
  it('is won by one of many at once', async () => {
    const refundId = await refundWithLane();
    const outcomes = await Promise.all(Array.from({ length: 12 }, () => ledger.claim(refundId, 1)));
    expect(outcomes.filter((outcome) => outcome.kind === 'claimed')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome.kind === 'exists')).toHaveLength(11);
    expect(await ledger.refundRow(refundId)).toMatchObject({
      attempt: 1,
      pending_reason: 'provider_processing',
    });
  });

  it('of a second attempt is refused while the first is open or has landed', async () => {
    const refundId = await refundWithLane();
    await ledger.claim(refundId, 1);
    expect(await ledger.claim(refundId, 2)).toEqual({ kind: 'earlierOpen' });
    await ledger.answer(refundId, 1, done());
    expect(await ledger.claim(refundId, 2)).toEqual({ kind: 'earlierOpen' });
  });

  it('can not skip a number', async () => {
    const refundId = await refundWithLane();
    expect(await ledger.claim(refundId, 2)).toEqual({ kind: 'earlierOpen' });
    expect(await ledger.attempts(refundId)).toEqual([]);
  });

  it('needs the lane where the provider has no idempotency keys', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    expect(await ledger.claim(refundId, 1)).toEqual({ kind: 'laneLost' });
    expect(await ledger.claim(refundId, 1, { needsLane: false })).toMatchObject({ kind: 'claimed' });
  });

  it('is refused with the lane in hand while another refund of the payment has an open attempt', async () => {
    const paymentId = await ledger.payment();
    const [one, other] = [await ledger.refund(paymentId), await ledger.refund(paymentId)];
    await ledger.claim(one, 1, { needsLane: false });
    await takeLane(ledger.db, other, START_MS);
    expect(await ledger.laneHolder(paymentId)).toBe(other);
    expect(await ledger.claim(other, 1)).toEqual({ kind: 'laneLost' });
  });

  it('leaves one open attempt a payment, however many refunds race for the lane', async () => {
    const paymentId = await ledger.payment();
    const refundIds = await Promise.all(
      Array.from({ length: 8 }, () => ledger.refund(paymentId, { amountMinor: 100 })),
    );
    const outcomes = await Promise.all(
      refundIds.map(async (refundId) => {
        const lane = await takeLane(ledger.db, refundId, START_MS);
        return { lane: lane.kind, claim: (await ledger.claim(refundId, 1)).kind };
      }),
    );
    expect(outcomes.filter((outcome) => outcome.lane === 'taken')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome.claim === 'claimed')).toEqual([
      { lane: 'taken', claim: 'claimed' },
    ]);
  });

  it('is refused on a reading that is cut or lacks what has settled here', async () => {
    const paymentId = await ledger.payment();
    const first = await ledger.refund(paymentId);
    await ledger.submit(first, done('first'));
    await settleRefund(ledger.db, first, START_MS);
    const second = await ledger.refund(paymentId);
    await takeLane(ledger.db, second, START_MS);
    expect(await ledger.claim(second, 1)).toMatchObject({ kind: 'unusableReading' });
    const cut = reading([shownRefund(1_000, 'succeeded', 'first')], START_MS, { complete: false });
    expect(await ledger.claim(second, 1, { reading: cut })).toMatchObject({ kind: 'unusableReading' });
    const whole = reading([shownRefund(1_000, 'succeeded', 'first')], LATER_MS);
    expect(await ledger.claim(second, 1, { reading: whole })).toMatchObject({ kind: 'claimed' });
  });

  it('books money outside our sight and is refused where the rest does not suffice', async () => {
    const refundId = await refundWithLane({ amountMinor: 1_500 });
    const panel = reading([shownRefund(600)]);
    expect(await ledger.claim(refundId, 1, { reading: panel })).toMatchObject({
      kind: 'ineligible',
      code: 'amount_exceeds_available',
    });
    const { payment_id: paymentId } = await ledger.refundRow(refundId);
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 600 });
    const events = ledger.db
      .selectFrom('refund_events')
      .selectAll()
      .where('type', '=', 'external_refunds_seen');
    expect(await events.execute()).toMatchObject([
      {
        payment_id: paymentId,
        refund_id: null,
        origin: 'provider',
        data: { external_minor: 600, was_minor: 0 },
      },
    ]);
  });

  it('books nothing as external while an attempt is open', async () => {
    const paymentId = await ledger.payment();
    const [one, other] = [await ledger.refund(paymentId), await ledger.refund(paymentId)];
    await ledger.claim(one, 1, { needsLane: false });
    await ledger.claim(other, 1, { needsLane: false, reading: reading([shownRefund(1_000)]) });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 0 });
  });

  it('counts what another refund may have moved or has moved and not settled', async () => {
    const paymentId = await ledger.payment({ amountMinor: 10_000 });
    const one = await ledger.refund(paymentId, { amountMinor: 6_000 });
    const other = await ledger.refund(paymentId, { amountMinor: 4_000 });
    await ledger.submit(one, done('one'), { needsLane: false });
    const shown = [shownRefund(6_000, 'succeeded', 'one'), shownRefund(3_000, 'succeeded', 'panel')];
    const claim = { needsLane: false, reading: reading(shown, LATER_MS) };
    const tooMuch = { kind: 'ineligible', code: 'amount_exceeds_available' };
    expect(await ledger.claim(other, 1, claim)).toMatchObject(tooMuch);
    await settleRefund(ledger.db, one, START_MS);
    expect(await ledger.claim(other, 1, claim)).toMatchObject(tooMuch);
  });

  it('is refused when the window has closed meanwhile', async () => {
    const refundId = await refundWithLane();
    const rules = {
      capabilities: CAPABILITIES,
      providerEnabled: true,
      window: { deadlineMs: START_MS + 1_000, submitBeforeMs: START_MS },
    };
    expect(await ledger.claim(refundId, 1, { rules, decisionMs: START_MS })).toMatchObject({
      kind: 'ineligible',
      code: 'refund_window_expired',
    });
    expect(await ledger.claim(refundId, 1, { rules, decisionMs: START_MS - 1 })).toMatchObject({
      kind: 'claimed',
    });
  });

  it('of a refund that ended, or that a person looks at, is refused', async () => {
    const [ended, reviewed] = [await refundWithLane(), await refundWithLane()];
    await compensateRefund(ledger.db, ended, 'provider_unavailable', START_MS);
    await moveToReview(ledger.db, reviewed, 'why not', START_MS);
    expect(await ledger.claim(ended, 1)).toEqual({ kind: 'refundClosed' });
    expect(await ledger.claim(reviewed, 1)).toEqual({ kind: 'refundClosed' });
  });

  it('keeps a reading with words that PostgreSQL can not hold', async () => {
    const refundId = await refundWithLane();
    const odd = reading([shownRefund(5, 'rejected', '\0\uDC00')], START_MS, { providerStatus: '\uD83D' });
    expect(await ledger.claim(refundId, 1, { reading: odd })).toMatchObject({ kind: 'claimed' });
  });
});

describe('an attempt that was proven absent and shows up late', () => {
  it('is open again instead of being followed by a second one, and is then found', async () => {
    const refundId = await absentAttempt();
    const late = reading([shownRefund(1_000)], LATER_MS);
    expect(await ledger.claim(refundId, 2, { reading: late })).toEqual({ kind: 'earlierOpen' });
    expect(await ledger.attempts(refundId)).toMatchObject([
      { number: 1, conclusion: null, absent_reads: [] },
    ]);
    expect(await ledger.look(refundId, late.refunds, { nowMs: LATER_MS })).toEqual({ kind: 'landed' });
    expect(await settleRefund(ledger.db, refundId, LATER_MS)).toMatchObject({ kind: 'closed' });
  });

  it('is found though a later attempt never left', async () => {
    const refundId = await absentAttempt();
    await ledger.submit(refundId, notNow());
    const late = reading([shownRefund(1_000)], LATER_MS);
    await takeLane(ledger.db, refundId, LATER_MS);
    expect(await ledger.claim(refundId, 3, { reading: late })).toEqual({ kind: 'earlierOpen' });
    expect(await ledger.look(refundId, late.refunds, { nowMs: LATER_MS })).toEqual({ kind: 'landed' });
    expect(await settleRefund(ledger.db, refundId, LATER_MS)).toMatchObject({ kind: 'closed' });
  });

  it('stays closed for a reading that came in without the lane: two that are open could never be told apart', async () => {
    const paymentId = await ledger.payment();
    const [written, other] = [await ledger.refund(paymentId), await ledger.refund(paymentId)];
    await takeLane(ledger.db, written, START_MS);
    await ledger.submit(written, unknown());
    await ledger.proveAbsent(written);
    await ledger.submit(written, notNow());
    await takeLane(ledger.db, other, LATER_MS);
    await ledger.submit(other, accepted());
    const late = reading([shownRefund(1_000)], LATER_MS);
    expect(await ledger.claim(written, 3, { reading: late })).toEqual({ kind: 'laneLost' });
    expect(await ledger.attempts(written)).toMatchObject([
      { conclusion: 'absent' },
      { conclusion: 'not_sent' },
    ]);
    expect(await ledger.look(other, late.refunds, { nowMs: LATER_MS })).toEqual({ kind: 'landed' });
  });

  it('is open once for one sight, where two attempts were absent', async () => {
    const refundId = await absentAttempt();
    await ledger.submit(refundId, unknown());
    await ledger.proveAbsent(refundId);
    const late = reading([shownRefund(1_000)], LATER_MS);
    expect(await ledger.claim(refundId, 3, { reading: late })).toEqual({ kind: 'earlierOpen' });
    expect((await ledger.attempts(refundId)).map((attempt) => attempt.conclusion)).toEqual(['absent', null]);
    expect(await ledger.look(refundId, late.refunds, { nowMs: LATER_MS })).toEqual({ kind: 'landed' });
    expect(await settleRefund(ledger.db, refundId, LATER_MS)).toMatchObject({ kind: 'closed' });
  });

  it('is not taken for one that never left: that entry is money outside our sight', async () => {
    const refundId = await refundWithLane();
    await ledger.submit(refundId, notNow());
    await takeLane(ledger.db, refundId, START_MS);
    const panel = reading([shownRefund(1_000)], LATER_MS);
    expect(await ledger.claim(refundId, 2, { reading: panel })).toMatchObject({ kind: 'claimed' });
    const { payment_id: paymentId } = await ledger.refundRow(refundId);
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 1_000 });
  });

  it('is open again as soon as a look sees it under way, and can not be compensated any more', async () => {
    const refundId = await absentAttempt();
    const underWay = [shownRefund(1_000, 'processing')];
    expect(await ledger.look(refundId, underWay, { nowMs: LATER_MS })).toEqual({ kind: 'processing' });
    expect(await compensateRefund(ledger.db, refundId, 'refund_window_expired', LATER_MS)).toMatchObject({
      kind: 'refused',
    });
  });
});

describe('an answer', () => {
  it.each([
    ['done', done('x'), 'landed', 'provider_processing', { kind: 'done', attempt: 1 }],
    ['accepted', accepted('x'), null, 'provider_processing', { kind: 'accepted', attempt: 1 }],
    ['declined', declined(), 'declined', 'provider_processing', { kind: 'declined', resolveFirst: false }],
    [
      'declined as something done already',
      declined(true),
      null,
      'provider_processing',
      { kind: 'declined', resolveFirst: true },
    ],
    [
      'unknown',
      unknown(5_000),
      null,
      'outcome_unknown',
      { kind: 'unknown', resendAfterMs: START_MS + 6_000 },
    ],
  ] as const)(
    '%s keeps the lane until the refund is closed',
    async (_, outcome, conclusion, reason, result) => {
      const refundId = await refundWithLane();
      const { payment_id: paymentId } = await ledger.refundRow(refundId);
      const waiting = await ledger.refund(paymentId);
      const recorded = await ledger.submit(refundId, outcome);
      await takeLane(ledger.db, waiting, START_MS);
      expect(recorded).toMatchObject({ result, wakeRefundId: null });
      expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion, answer: { kind: outcome.kind } }]);
      expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'pending', pending_reason: reason });
      expect(await ledger.laneHolder(paymentId)).toBe(refundId);
    },
  );

  it.each([
    ['insufficient_balance', 'insufficient_balance'],
    ['authorization_required', 'authorization_required'],
    ['provider_unavailable', 'provider_unavailable'],
    ['send_by_passed', 'provider_unavailable'],
  ] as const)('notNow for %s gives the lane back and names who waits for it', async (reason, shown) => {
    const refundId = await refundWithLane();
    const { payment_id: paymentId } = await ledger.refundRow(refundId);
    const waiting = await ledger.refund(paymentId);
    expect(await takeLane(ledger.db, waiting, START_MS)).toEqual({ kind: 'busy', behindRefundId: refundId });
    const recorded = await ledger.submit(refundId, notNow(reason));
    expect(recorded).toEqual({
      result: { kind: 'notNow', attempt: 1, reason: shown, retryAfterMs: 30_000 },
      wakeRefundId: waiting,
    });
    expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion: 'not_sent' }]);
    expect(await ledger.refundRow(refundId)).toMatchObject({ pending_reason: shown });
    expect(await ledger.laneHolder(paymentId)).toBeNull();
  });

  it('that nothing was sent leaves no burden: of many such attempts only the last is looked at', async () => {
    const refundId = await refundWithLane();
    for (let number = 1; number <= 4; number += 1) {
      await takeLane(ledger.db, refundId, START_MS);
      await ledger.submit(refundId, notNow('insufficient_balance'));
    }
    const numbers = async (numbered?: number) =>
      (await attemptsOf(ledger.db, refundId, numbered)).map(({ number }) => number);
    expect(await numbers()).toEqual([4]);
    expect(await numbers(2)).toEqual([2, 4]);
    // A frozen worker that stores its answer once more meets its own row.
    const again = await ledger.answer(refundId, 2, notNow('insufficient_balance'));
    expect(again).toMatchObject({ result: { kind: 'notNow', attempt: 2 } });
  });

  it('is stored twice without harm: its first storing may have been acknowledged to nobody', async () => {
    for (const outcome of [done('x1'), accepted('x2'), declined(), unknown(), notNow()]) {
      const refundId = await refundWithLane();
      const { result } = await ledger.submit(refundId, outcome);
      expect(await ledger.answer(refundId, 1, outcome)).toMatchObject({ result });
    }
  });

  it('is kept in words that PostgreSQL can hold', async () => {
    const refundId = await refundWithLane();
    const odd = { kind: 'done', providerRefundId: 'id\0', providerStatus: '\uD800' } as const;
    expect(await ledger.submit(refundId, odd)).toMatchObject({ result: { kind: 'done' } });
    expect(await settleRefund(ledger.db, refundId, START_MS)).toMatchObject({ kind: 'closed' });
  });

  it('with an id that another refund owns is unknown, on whichever payment that one is', async () => {
    const [one, other] = [await refundWithLane(), await refundWithLane()];
    await ledger.submit(one, done('same-id'));
    expect(await ledger.submit(other, done('same-id'))).toMatchObject({ result: { kind: 'unknown' } });
    expect(await ledger.attempts(other)).toMatchObject([
      { conclusion: null, provider_refund_id: null, answer: { error: { code: 'refund_id_not_new' } } },
    ]);
  });

  it('gives one id to one refund, though it comes back for many payments at one instant', async () => {
    const refundIds = await Promise.all(Array.from({ length: 6 }, () => refundWithLane()));
    await Promise.all(refundIds.map((refundId) => ledger.claim(refundId, 1)));
    const recorded = await Promise.all(
      refundIds.map((refundId) => ledger.answer(refundId, 1, done('same-id'))),
    );
    expect(recorded.filter(({ result }) => result.kind === 'done')).toHaveLength(1);
    expect(recorded.filter(({ result }) => result.kind === 'unknown')).toHaveLength(5);
  });

  it('declined to a second sending is resolved by reading, and final once the first is proven absent', async () => {
    const refundId = await refundWithLane({ provider: 'picpay' });
    await ledger.submit(refundId, unknown());
    const repeat = { refundId, number: 1, sendByMs: START_MS + 2_000, nowMs: START_MS };
    expect(await noteRepeat(ledger.db, repeat)).toBe(true);
    const { result } = await ledger.answer(refundId, 1, declined());
    expect(result).toEqual({ kind: 'declined', attempt: 1, resolveFirst: true });
    const [attempt] = await ledger.attempts(refundId);
    expect(standingResult(attempt!)).toEqual(result);
    expect(await compensateRefund(ledger.db, refundId, 'provider_declined', START_MS)).toMatchObject({
      kind: 'refused',
    });
    expect(await ledger.proveAbsent(refundId)).toEqual({ kind: 'rejected' });
    expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion: 'declined' }]);
  });

  it('declined to a new attempt after an absent one is resolved by reading first', async () => {
    const refundId = await absentAttempt();
    const recorded = await ledger.submit(refundId, declined());
    expect(recorded.result).toEqual({ kind: 'declined', attempt: 2, resolveFirst: true });
    expect(await ledger.look(refundId, [shownRefund(1_000)], { nowMs: LATER_MS })).toEqual({
      kind: 'landed',
    });
  });

  it('that is worse takes nothing from one that the provider accepted', async () => {
    for (const worse of [unknown(), notNow(), declined()]) {
      const refundId = await refundWithLane({ provider: 'picpay' });
      await ledger.submit(refundId, unknown());
      await noteRepeat(ledger.db, { refundId, number: 1, sendByMs: START_MS + 2_000, nowMs: START_MS });
      await ledger.answer(refundId, 1, accepted());
      expect(await ledger.answer(refundId, 1, worse)).toMatchObject({ result: { kind: 'accepted' } });
      expect(await ledger.proveAbsent(refundId)).toEqual({ kind: 'processing' });
      expect(await ledger.refundRow(refundId)).toMatchObject({ pending_reason: 'provider_processing' });
    }
  });

  it('to a repeat that never left says nothing of the sending before it', async () => {
    const refundId = await refundWithLane({ provider: 'picpay' });
    await ledger.submit(refundId, unknown());
    await noteRepeat(ledger.db, { refundId, number: 1, sendByMs: START_MS + 2_000, nowMs: START_MS });
    expect(await ledger.answer(refundId, 1, notNow())).toMatchObject({ result: { kind: 'unknown' } });
    expect(await ledger.attempts(refundId)).toMatchObject([{ sends: 2, conclusion: null }]);
  });
});

describe('a repeat under the same key', () => {
  it('is noted while the attempt is open, and never once it is concluded or the refund is a person’s', async () => {
    const [concluded, reviewed] = [await refundWithLane(), await refundWithLane()];
    const repeat = { number: 1, sendByMs: START_MS + 2_000, nowMs: START_MS };
    await ledger.submit(concluded, declined());
    expect(await noteRepeat(ledger.db, { refundId: concluded, ...repeat })).toBe(false);
    await ledger.submit(reviewed, unknown());
    await moveToReview(ledger.db, reviewed, 'why not', START_MS);
    expect(await noteRepeat(ledger.db, { refundId: reviewed, ...repeat })).toBe(false);
  });

  it('and a refusal of the sending before it never overtake each other', async () => {
    for (let round = 0; round < 10; round += 1) {
      const refundId = await refundWithLane();
      await ledger.claim(refundId, 1);
      const [isNoted] = await Promise.all([
        noteRepeat(ledger.db, { refundId, number: 1, sendByMs: START_MS + 2_000, nowMs: START_MS }),
        ledger.answer(refundId, 1, declined()),
      ]);
      const [attempt] = await ledger.attempts(refundId);
      expect([isNoted, attempt?.conclusion]).toEqual(isNoted ? [true, null] : [false, 'declined']);
    }
  });
});

describe('a worker that wakes up late', () => {
  it('has its answer land where the attempt was proven absent', async () => {
    const refundId = await absentAttempt();
    expect(await ledger.answer(refundId, 1, done('late'))).toMatchObject({ result: { kind: 'done' } });
    expect(await ledger.claim(refundId, 2)).toEqual({ kind: 'earlierOpen' });
    expect(await settleRefund(ledger.db, refundId, LATER_MS)).toMatchObject({ kind: 'closed' });
  });

  it('opens the attempt again where the provider accepted it', async () => {
    const refundId = await absentAttempt();
    await ledger.answer(refundId, 1, accepted('late'));
    expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion: null, provider_refund_id: 'late' }]);
    expect(await ledger.claim(refundId, 2)).toEqual({ kind: 'earlierOpen' });
  });

  it('brings a refund that had failed back for review, its amount reserved again', async () => {
    for (const outcome of [done(), accepted()]) {
      const refundId = await absentAttempt();
      await compensateRefund(ledger.db, refundId, 'refund_window_expired', LATER_MS);
      await ledger.answer(refundId, 1, outcome);
      const { payment_id: paymentId, ...refund } = await ledger.refundRow(refundId);
      expect(refund).toMatchObject({ status: 'review', money: 'reserved' });
      expect(await ledger.paymentRow(paymentId)).toMatchObject({ reserved_minor: 1_000, external_minor: 0 });
    }
  });

  it('has money counted as external where it was promised to another refund meanwhile, its reference too', async () => {
    const paymentId = await ledger.payment({ amountMinor: 1_000 });
    const failed = await ledger.refund(paymentId, { reference: 'order-7' });
    await ledger.submit(failed, unknown());
    await ledger.proveAbsent(failed);
    await compensateRefund(ledger.db, failed, 'refund_window_expired', LATER_MS);
    const second = await ledger.refund(paymentId, { reference: 'order-7' });
    await ledger.answer(failed, 1, done());
    expect(await ledger.refundRow(failed)).toMatchObject({ status: 'review', money: 'released' });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({
      reserved_minor: 1_000,
      external_minor: 1_000,
    });
    await takeLane(ledger.db, second, LATER_MS);
    const shown = reading([shownRefund(1_000)], LATER_MS);
    expect(await ledger.claim(second, 1, { reading: shown })).toMatchObject({ kind: 'ineligible' });
    expect(await settleRefund(ledger.db, failed, LATER_MS)).toMatchObject({ kind: 'refused' });
  });

  it('has a second landing of one refund counted and put before a person, settled or not', async () => {
    for (const settleFirst of [true, false]) {
      const refundId = await absentAttempt();
      await ledger.submit(refundId, done(`${refundId}-second`));
      if (settleFirst) await settleRefund(ledger.db, refundId, LATER_MS);
      await ledger.answer(refundId, 1, done(`${refundId}-first`));
      const { payment_id: paymentId, ...refund } = await ledger.refundRow(refundId);
      expect(refund).toMatchObject({ status: 'review', money: settleFirst ? 'refunded' : 'reserved' });
      expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 1_000 });
      expect(await settleRefund(ledger.db, refundId, LATER_MS)).toMatchObject({ kind: 'refused' });
      expect(await compensateRefund(ledger.db, refundId, 'provider_declined', LATER_MS)).toMatchObject({
        kind: 'refused',
      });
      const both = ['first', 'second'].map((which) =>
        shownRefund(1_000, 'succeeded', `${refundId}-${which}`),
      );
      const shown = { snapshot: reading(both, LATER_MS), readAtMs: LATER_MS };
      await ledger.admit(paymentId, { amountMinor: 10, reading: shown });
      expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 1_000 });
    }
  });

  it('does not give away the lane of the attempt that followed it', async () => {
    const refundId = await absentAttempt();
    const { payment_id: paymentId } = await ledger.refundRow(refundId);
    await ledger.submit(refundId, accepted());
    await ledger.answer(refundId, 1, notNow());
    expect(await ledger.laneHolder(paymentId)).toBe(refundId);
    const postponed = {
      refundId,
      reason: 'provider_unavailable' as const,
      retryAfterMs: null,
      nowMs: LATER_MS,
    };
    const error = { code: 'read_failed', message: 'no answer' };
    expect(await recordNotNow(ledger.db, { ...postponed, error })).toEqual({
      result: { kind: 'accepted', attempt: 2 },
      wakeRefundId: null,
    });
    expect(await ledger.laneHolder(paymentId)).toBe(refundId);
    expect(await ledger.refundRow(refundId)).toMatchObject({ pending_reason: 'provider_processing' });
  });

  it('leaves proof of absence as it is where it brings no answer', async () => {
    const refundId = await absentAttempt();
    await ledger.answer(refundId, 1, unknown());
    expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion: 'absent' }]);
  });

  it('is told by the ledger what it never claimed', async () => {
    const refundId = await refundWithLane();
    const answered = { refundId, number: 1, outcome: done(), nowMs: START_MS };
    await expect(recordAnswer(ledger.db, answered)).rejects.toThrow('never claimed');
  });
});

describe('a look', () => {
  it('that finds the new entry lands the attempt, with evidence and how it was recognised', async () => {
    const refundId = await refundWithLane();
    await ledger.submit(refundId, unknown(), { reading: reading([shownRefund(300)]) });
    const shown = [shownRefund(300), shownRefund(1_000, 'succeeded', 'at-provider')];
    expect(await ledger.look(refundId, shown, { source: 'webhook' })).toEqual({ kind: 'landed' });
    expect(await ledger.attempts(refundId)).toMatchObject([
      {
        conclusion: 'landed',
        matched_by: 'amount',
        provider_refund_id: 'at-provider',
        evidence: { source: 'webhook', providerStatus: 'SUCCEEDED' },
      },
    ]);
  });

  it.each([
    ['processing', { kind: 'processing' }, null],
    ['rejected', { kind: 'rejected' }, 'declined'],
    ['unclear', { kind: 'unclear', providerStatus: 'UNCLEAR' }, null],
    ['unknown', { kind: 'unknownStatus', providerStatus: 'UNKNOWN' }, null],
  ] as const)('that finds it %s moves no money', async (status, result, conclusion) => {
    const refundId = await refundWithLane();
    await ledger.submit(refundId, accepted('id'));
    expect(await ledger.look(refundId, [shownRefund(1_000, status, 'id')])).toEqual(result);
    expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion }]);
    expect(await settleRefund(ledger.db, refundId, START_MS)).toMatchObject({ kind: 'refused' });
  });

  it('that finds another amount under our id never lands it', async () => {
    const refundId = await refundWithLane();
    await ledger.submit(refundId, accepted('id'));
    expect(await ledger.look(refundId, [shownRefund(999, 'succeeded', 'id')])).toMatchObject({
      kind: 'otherAmount',
    });
    expect(await ledger.eventTypes({ refundId })).toContain('other_amount_seen');
    expect(await settleRefund(ledger.db, refundId, START_MS)).toMatchObject({ kind: 'refused' });
  });

  it('that finds two candidates, another amount, or another refund’s id can not tell', async () => {
    const refundId = await refundWithLane();
    await ledger.submit(refundId, unknown());
    const owner = await refundWithLane();
    await ledger.submit(owner, accepted('owned'));
    const cannotTell = { kind: 'cannotTell' };
    expect(await ledger.look(refundId, [shownRefund(1_000), shownRefund(1_000)])).toMatchObject(cannotTell);
    expect(await ledger.look(refundId, [shownRefund(700)])).toMatchObject(cannotTell);
    expect(await ledger.look(refundId, [shownRefund(1_000, 'succeeded', 'owned')])).toMatchObject(cannotTell);
    expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion: null, provider_refund_id: null }]);
  });

  it('does not take the entry of an earlier attempt of the refund for the next one’s', async () => {
    const refundId = await absentAttempt();
    await ledger.submit(refundId, unknown());
    await ledger.answer(refundId, 1, done());
    expect(await ledger.look(refundId, [shownRefund(1_000)])).toMatchObject({
      kind: 'absent',
      proven: false,
    });
  });

  it('proves absence by three complete reads spread over the quiet time, kept in the ledger', async () => {
    const refundId = await refundWithLane();
    await ledger.submit(refundId, unknown());
    const quietFromMs = START_MS + 2_000 + 10_000;
    const lookAt = (nowMs: number, complete = true) =>
      ledger.look(refundId, [], { nowMs, reading: reading([], nowMs, { complete }) });
    for (const early of [0, 1_000, 2_000, 3_000]) {
      expect(await lookAt(START_MS + early)).toMatchObject({ kind: 'absent', proven: false });
    }
    expect(await lookAt(quietFromMs)).toMatchObject({ proven: false, quietUntilMs: quietFromMs + 60_000 });
    expect(await lookAt(quietFromMs + 30_000)).toMatchObject({ proven: false });
    expect(await lookAt(quietFromMs + 59_999)).toMatchObject({ proven: false });
    expect(await lookAt(quietFromMs + 60_000, false)).toEqual({ kind: 'unavailable', retryAfterMs: null });
    expect((await ledger.attempts(refundId))[0]).toMatchObject({ conclusion: null });
    // Too soon after the one before to be another look.
    expect(await lookAt(quietFromMs + 60_000)).toMatchObject({ proven: false });
    expect(await lookAt(quietFromMs + 75_000)).toMatchObject({ proven: true });
    expect((await ledger.attempts(refundId))[0]).toMatchObject({ conclusion: 'absent' });
  });

  it('writes the proof of absence once, however often it is repeated', async () => {
    const refundId = await absentAttempt();
    const before = await ledger.eventTypes({ refundId });
    await ledger.look(refundId, [], { nowMs: LATER_MS });
    expect(await ledger.eventTypes({ refundId })).toEqual(before);
  });

  it('never proves absent what the provider accepted, or showed once', async () => {
    const [acceptedOnce, seenOnce] = [await refundWithLane(), await refundWithLane()];
    await ledger.submit(acceptedOnce, accepted('id'));
    await ledger.submit(seenOnce, unknown());
    await ledger.look(seenOnce, [shownRefund(1_000, 'processing')]);
    for (const refundId of [acceptedOnce, seenOnce]) {
      expect(await ledger.proveAbsent(refundId)).toEqual({ kind: 'processing' });
    }
  });

  it('knows without an attempt that nothing was sent', async () => {
    const refundId = await refundWithLane();
    expect(await ledger.look(refundId, [shownRefund(1_000)])).toEqual({ kind: 'notSent', attempt: 0 });
    await ledger.submit(refundId, notNow());
    expect(await ledger.look(refundId, [shownRefund(1_000)])).toEqual({ kind: 'notSent', attempt: 1 });
  });
});
