import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { noteRepeat } from '../src/ledger/attempts.js';
import { takeLane } from '../src/ledger/lanes.js';
import { compensateRefund, settleRefund } from '../src/ledger/settlement.js';
import { forgetWithBooks } from './setup/books.js';
import {
  accepted,
  CAPABILITIES,
  declined,
  done,
  openLedger,
  QUIET_MS,
  reading,
  shownRefund,
  START_MS,
  TIMEOUT_MS,
  unknown,
  type LedgerScene,
} from './setup/ledger-scene.js';

/** Two equal refunds of one payment, under way at once or one after the other, at providers whose answers name no id. */
describe('equal refunds side by side', () => {
  let ledger: LedgerScene;
  beforeAll(async () => {
    ledger = await openLedger();
  });
  afterEach(() => forgetWithBooks(ledger));
  afterAll(() => ledger.close());

  const FIRST = shownRefund(1_000, 'succeeded', 'E1');
  const SECOND = shownRefund(1_000, 'succeeded', 'E2');
  const withoutLane = {
    needsLane: false,
    rules: { capabilities: { ...CAPABILITIES, idempotentSubmit: true }, providerEnabled: true, window: null },
  };

  /** Three looks that would prove absence; the last one's result. */
  async function lookThrice(refundId: string, shown: Parameters<LedgerScene['look']>[1], fromMs: number) {
    await ledger.look(refundId, shown, { nowMs: fromMs });
    await ledger.look(refundId, shown, { nowMs: fromMs + QUIET_MS / 2 });
    return ledger.look(refundId, shown, { nowMs: fromMs + QUIET_MS });
  }

  it('what landed before the claim and was answered after it hides no later refund', async () => {
    const paymentId = await ledger.payment({ provider: 'picpay' });
    const [first, second] = [await ledger.refund(paymentId), await ledger.refund(paymentId)];
    await ledger.claim(first, 1, { ...withoutLane, reading: reading([], START_MS) });
    const claimedAtMs = START_MS + 100;
    await ledger.claim(second, 1, {
      ...withoutLane,
      nowMs: claimedAtMs,
      reading: reading([FIRST], claimedAtMs),
    });
    await ledger.answer(first, 1, done(), START_MS + 200);
    await settleRefund(ledger.db, first, START_MS + 300);
    await ledger.answer(second, 1, unknown(), START_MS + 400);

    const look = await lookThrice(second, [FIRST, SECOND], claimedAtMs + 2_000 + TIMEOUT_MS);
    expect(['landed', 'cannotTell']).toContain(look.kind);
    const again = {
      ...withoutLane,
      nowMs: START_MS + 200_000,
      reading: reading([FIRST, SECOND], START_MS + 200_000),
    };
    expect((await ledger.claim(second, 2, again)).kind).toBe('earlierOpen');
  });

  it('nor where the provider shows only totals', async () => {
    const paymentId = await ledger.payment({ provider: 'picpay' });
    const [first, second] = [await ledger.refund(paymentId), await ledger.refund(paymentId)];
    const total = (totalOnlyMinor: number, readAtMs: number) => reading([], readAtMs, { totalOnlyMinor });
    const claimedAtMs = START_MS + 100;
    await ledger.claim(first, 1, { ...withoutLane, reading: reading([], START_MS) });
    await ledger.claim(second, 1, { ...withoutLane, nowMs: claimedAtMs, reading: total(1_000, claimedAtMs) });
    await ledger.answer(first, 1, done(), START_MS + 200);
    await settleRefund(ledger.db, first, START_MS + 300);
    await ledger.answer(second, 1, unknown(), START_MS + 400);
    const fromMs = claimedAtMs + 2_000 + TIMEOUT_MS;
    for (const nowMs of [fromMs, fromMs + QUIET_MS / 2, fromMs + QUIET_MS]) {
      const look = await ledger.look(second, [], { nowMs, reading: total(2_000, nowMs) });
      expect(['landed', 'cannotTell']).toContain(look.kind);
    }
  });

  it('a repeat that is declined because the refund landed never fails it', async () => {
    const paymentId = await ledger.payment({ provider: 'picpay' });
    const [first, second] = [await ledger.refund(paymentId), await ledger.refund(paymentId)];
    await ledger.claim(first, 1, { ...withoutLane, reading: reading([], START_MS) });
    const claimedAtMs = START_MS + 100;
    await ledger.claim(second, 1, {
      ...withoutLane,
      nowMs: claimedAtMs,
      reading: reading([FIRST], claimedAtMs),
    });
    await ledger.answer(first, 1, done(), START_MS + 200);
    await settleRefund(ledger.db, first, START_MS + 300);
    await ledger.answer(second, 1, unknown(), START_MS + 400);
    await noteRepeat(ledger.db, {
      refundId: second,
      number: 1,
      sendByMs: START_MS + 3_000,
      nowMs: START_MS + 1_000,
    });
    await ledger.answer(second, 1, declined(true), START_MS + 1_200);
    await lookThrice(second, [FIRST, SECOND], START_MS + 3_000 + TIMEOUT_MS);
    await compensateRefund(ledger.db, second, 'provider_declined', START_MS + 3_000 + TIMEOUT_MS + QUIET_MS);
    expect((await ledger.refundRow(second)).status).not.toBe('failed');
  });

  it('a claimer whose clock is behind the settler’s still finds its own', async () => {
    const paymentId = await ledger.payment({ provider: 'braspag' });
    const [first, second] = [await ledger.refund(paymentId), await ledger.refund(paymentId)];
    const entry = shownRefund(1_000, 'succeeded');
    await ledger.submit(first, accepted());
    await ledger.look(first, [entry], { nowMs: START_MS + 5_000 });
    await settleRefund(ledger.db, first, START_MS + 5_010);
    const behindMs = START_MS + 4_600;
    await takeLane(ledger.db, second, behindMs);
    await ledger.claim(second, 1, { nowMs: behindMs, reading: reading([entry], behindMs) });
    await ledger.answer(second, 1, unknown(), behindMs + 1_000);
    expect(await ledger.look(second, [entry, entry], { nowMs: behindMs + 5_000 })).toEqual({
      kind: 'landed',
    });
  });

  it('one that never moved does not adopt the other’s entry, whatever the clocks say', async () => {
    const paymentId = await ledger.payment({ provider: 'picpay' });
    const [first, second] = [await ledger.refund(paymentId), await ledger.refund(paymentId)];
    await ledger.claim(first, 1, { ...withoutLane, reading: reading([], START_MS) });
    const claimedAtMs = START_MS + 1_000;
    await ledger.claim(second, 1, { ...withoutLane, nowMs: claimedAtMs, reading: reading([], claimedAtMs) });
    await ledger.answer(first, 1, done(), START_MS + 700);
    await settleRefund(ledger.db, first, START_MS + 701);
    await ledger.answer(second, 1, unknown(), START_MS + 4_000);
    const look = await ledger.look(second, [FIRST], { nowMs: START_MS + 8_000 });
    expect(look.kind).not.toBe('landed');
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ refunded_minor: 1_000 });
  });

  it('is not claimed on a reading that shows less than is known to have gone back', async () => {
    const paymentId = await ledger.payment({ provider: 'braspag', amountMinor: 4_000 });
    const panel = shownRefund(1_000, 'succeeded');
    const first = await ledger.refund(paymentId, {
      reading: { snapshot: reading([panel]), readAtMs: START_MS },
    });
    await ledger.submit(first, accepted(), { reading: reading([panel], START_MS) });
    await ledger.look(first, [panel, panel], { nowMs: START_MS + 5_000 });
    await settleRefund(ledger.db, first, START_MS + 5_010);
    const second = await ledger.refund(paymentId);
    const nowMs = START_MS + 6_000;
    await takeLane(ledger.db, second, nowMs);
    // Of two equal entries a lagging replica shows one: it may be either.
    expect(await ledger.claim(second, 1, { nowMs, reading: reading([panel], nowMs) })).toMatchObject({
      kind: 'unusableReading',
    });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 1_000 });
  });
});
