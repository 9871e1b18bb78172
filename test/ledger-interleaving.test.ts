import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isOpen } from '../src/domain/refund.js';
import type { ProviderRefund, SubmitOutcome } from '../src/domain/provider.js';
import { noteRepeat } from '../src/ledger/attempts.js';
import { takeLane } from '../src/ledger/lanes.js';
import { recordNotNow } from '../src/ledger/answers.js';
import { knownUnseen } from '../src/ledger/looks.js';
import { compensateRefund, moveToReview, settleRefund } from '../src/ledger/settlement.js';
import { assertBooks } from './setup/books.js';
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
beforeAll(async () => {
  ledger = await openLedger();
});
afterAll(() => ledger.close());

const CONNECTIONS = 8;
const STEPS_EACH = 50;
const AMOUNT_MINOR = 1_000;
const SEND_WITHIN_MS = 20_000;
/** Every step takes so long: a few are enough to prove that something is absent. */
const STEP_MS = 1_500;

/** What becomes of one call: whether the money moves, and what is heard of it. */
const fate = fc.constantFrom<Fate>(
  { moves: true, heard: 'done' },
  { moves: true, heard: 'accepted' },
  { moves: true, heard: 'unknown' },
  { moves: true, heard: 'nothing' },
  { moves: false, heard: 'declined' },
  { moves: false, heard: 'notNow' },
  { moves: false, heard: 'unknown' },
  { moves: false, heard: 'nothing' },
);
const step = fc.record({
  kind: fc.constantFrom(
    ...(['advance', 'advance', 'advance', 'advance', 'advance', 'advance', 'advance', 'advance'] as const),
    ...(['settle', 'compensate', 'postpone', 'repeatedAnswer', 'look', 'review'] as const),
  ),
  refund: fc.nat(1_000),
  fate,
});

interface Fate {
  readonly moves: boolean;
  readonly heard: 'done' | 'accepted' | 'declined' | 'notNow' | 'unknown' | 'nothing';
}
type RandomStep = typeof step extends fc.Arbitrary<infer Step> ? Step : never;

/** The provider's side: what each payment shows, and for which refund the money really went. */
interface World {
  nowMs: number;
  readonly refundIds: readonly string[];
  readonly shown: Map<string, ProviderRefund[]>;
  readonly moved: string[];
  readonly claimed: string[];
}

it('moves each refund’s money at most once and keeps the books right, whatever eight workers do', async () => {
  const scripts = fc.array(fc.array(step, { minLength: STEPS_EACH, maxLength: STEPS_EACH }), {
    minLength: CONNECTIONS,
    maxLength: CONNECTIONS,
  });
  await fc.assert(
    fc.asyncProperty(scripts, async (workers) => {
      const world = await admitThirty();
      await Promise.all(
        workers.map(async (script) => {
          for (const next of script) await carryOut(world, next);
        }),
      );
      await assertBooks(ledger.db);
      await drain(world);
      await assertBooks(ledger.db);
      await assertMoney(world);
    }),
    { numRuns: 2, endOnFailure: true },
  );
}, 150_000);

/** All of one amount, so that nothing but the ledger's care tells them apart; each payment is asked for too much. */
async function admitThirty(): Promise<World> {
  const refundIds: string[] = [];
  const shown = new Map<string, ProviderRefund[]>();
  for (const provider of ['efi', 'picpay', 'braspag', 'fourgeeks', 'efi', 'picpay']) {
    const paymentId = await ledger.payment({ amountMinor: 5 * AMOUNT_MINOR, provider });
    const outcomes = await Promise.all(
      Array.from({ length: 7 }, () => ledger.admit(paymentId, { amountMinor: AMOUNT_MINOR })),
    );
    for (const outcome of outcomes) if (outcome.kind === 'admitted') refundIds.push(outcome.refund.id);
    shown.set(paymentId, []);
  }
  expect(refundIds).toHaveLength(30);
  return { nowMs: START_MS, refundIds, shown, moved: [], claimed: [] };
}

async function carryOut(world: World, next: RandomStep): Promise<void> {
  const { db } = ledger;
  const refundId = world.refundIds[next.refund % world.refundIds.length]!;
  const nowMs = (world.nowMs += STEP_MS);
  switch (next.kind) {
    case 'advance':
      return advance(world, refundId, next.fate);
    case 'settle':
      await settleRefund(db, refundId, nowMs);
      return;
    case 'compensate':
      // Rarely: it ends a refund for good.
      if (next.refund % 5 === 0) await compensateRefund(db, refundId, 'provider_unavailable', nowMs);
      return;
    case 'postpone': {
      const error = { code: 'read_failed', message: 'no answer' };
      const reason = 'provider_unavailable';
      await recordNotNow(db, { refundId, reason, error, retryAfterMs: null, nowMs });
      return;
    }
    case 'repeatedAnswer': {
      const attempt = (await ledger.attempts(refundId)).find((candidate) => candidate.answer !== null);
      if (attempt?.answer) await ledger.answer(refundId, attempt.number, attempt.answer, nowMs);
      return;
    }
    case 'look':
      return look(world, refundId);
    case 'review':
      if (next.refund % 5 === 0) await moveToReview(db, refundId, 'why not', nowMs);
  }
}

/** The next sensible step of a refund's process, as any of several confused workers would take it. */
async function advance(world: World, refundId: string, fateOfCall: Fate): Promise<void> {
  const { db } = ledger;
  const refund = await ledger.refundRow(refundId);
  if (!isOpen(refund.status)) return;
  const attempts = await ledger.attempts(refundId);
  const known = knownUnseen(refund, attempts);
  const last = attempts.at(-1);
  if (known?.kind === 'landed') {
    await settleRefund(db, refundId, world.nowMs);
  } else if (known?.kind === 'rejected') {
    await compensateRefund(db, refundId, 'provider_declined', world.nowMs);
  } else if (known?.kind === 'notSent' || last?.conclusion === 'absent') {
    await submit(world, refundId, (last?.number ?? 0) + 1, fateOfCall);
  } else {
    await look(world, refundId);
  }
}

async function submit(world: World, refundId: string, number: number, { moves, heard }: Fate): Promise<void> {
  const { provider, payment_id: paymentId } = await ledger.refundRow(refundId);
  const needsLane = provider !== 'picpay';
  if (needsLane && (await takeLane(ledger.db, refundId, world.nowMs)).kind === 'busy') return;
  const atProvider = world.shown.get(paymentId)!;
  const nowMs = world.nowMs;
  const sendByMs = nowMs + SEND_WITHIN_MS;
  const read = reading([...atProvider], nowMs);
  const claimed = await ledger.claim(refundId, number, { needsLane, nowMs, sendByMs, reading: read });
  if (claimed.kind !== 'claimed') return;
  world.claimed.push(`${refundId} ${number}`);

  if (world.nowMs >= sendByMs) {
    await ledger.answer(refundId, number, notNow('send_by_passed'), world.nowMs);
    return;
  }
  const id = provider === 'picpay' || provider === 'fourgeeks' ? `at-provider-${refundId}-${number}` : null;
  if (moves) {
    world.moved.push(refundId);
    atProvider.push(shownRefund(AMOUNT_MINOR, 'succeeded', id));
  }
  const answers: Record<Fate['heard'], SubmitOutcome | null> = {
    done: done(id),
    accepted: accepted(id),
    declined: declined(),
    notNow: notNow(),
    unknown: unknown(),
    nothing: null,
  };
  const outcome = answers[heard];
  if (outcome) await ledger.answer(refundId, number, outcome, world.nowMs);
  else if (!needsLane) {
    const repeatMs = world.nowMs;
    await noteRepeat(ledger.db, { refundId, number, sendByMs: repeatMs + SEND_WITHIN_MS, nowMs: repeatMs });
  }
}

async function look(world: World, refundId: string): Promise<void> {
  const { payment_id: paymentId } = await ledger.refundRow(refundId);
  const nowMs = world.nowMs;
  const result = await ledger.look(refundId, [...world.shown.get(paymentId)!], { nowMs });
  if (result.kind === 'cannotTell') await moveToReview(ledger.db, refundId, result.why, nowMs);
}

/** Everything comes to its end, or to a person; from here on the provider does as it is told and says so. */
async function drain(world: World): Promise<void> {
  for (let round = 0; round < 12; round += 1) {
    world.nowMs += 30_000;
    for (const refundId of world.refundIds) await advance(world, refundId, { moves: true, heard: 'done' });
  }
}

async function assertMoney(world: World): Promise<void> {
  expect(new Set(world.claimed).size).toBe(world.claimed.length);
  expect(new Set(world.moved).size).toBe(world.moved.length);
  for (const [paymentId, shown] of world.shown) {
    const payment = await ledger.paymentRow(paymentId);
    const refunds = await ledger.db
      .selectFrom('refunds')
      .selectAll()
      .where('payment_id', '=', paymentId)
      .execute();
    const having = (status: string): number => refunds.filter((refund) => refund.status === status).length;
    expect(shown.length).toBeGreaterThanOrEqual(having('succeeded'));
    expect(shown.length).toBeLessThanOrEqual(having('succeeded') + having('review') + having('pending'));
    expect(shown.length * AMOUNT_MINOR).toBeLessThanOrEqual(payment.refunded_minor + payment.reserved_minor);
  }
}
