import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { submit } from '../activities/submit.activity.js';
import type { ActivityDeps } from '../activities/deps.js';
import type { ProviderRefund, RefundProvider } from '../src/domain/provider.js';
import type { ReviewOutcome } from '../src/domain/review.js';
import { takeLane } from '../src/ledger/lanes.js';
import { pauseProvider } from '../src/ledger/provider-switches.js';
import { resolveRefund, type ResolutionAsk, type Resolving } from '../src/ledger/resolution.js';
import { compensateRefund, moveToReview, settleRefund } from '../src/ledger/settlement.js';
import { forgetWithBooks } from './setup/books.js';
import {
  accepted,
  CAPABILITIES,
  done,
  openLedger,
  QUIET_MS,
  reading,
  shownRefund,
  START_MS,
  TIMEOUT_MS,
  unknown,
  type LedgerScene,
  NO_NEXT_ROUND,
} from './setup/ledger-scene.js';

const LATER_MS = START_MS + 3_600_000;
const OURS = shownRefund(1_000);
const ONE_REFUND = { refunded_minor: 1_000, reserved_minor: 0, external_minor: 0 };

let ledger: LedgerScene;
beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(() => forgetWithBooks(ledger));
afterAll(() => ledger.close());

describe('one entry of a written-off attempt counts once', () => {
  it('reconciled while its refund waits for a resend, then looked at', async () => {
    const { paymentId, refundId } = await absentRefund();
    await ledger.reconcile(paymentId, [OURS], { readAtMs: LATER_MS });
    expect(await ledger.look(refundId, [OURS], { nowMs: LATER_MS + 20 })).toEqual({ kind: 'landed' });
    await settleRefund(ledger.db, refundId, LATER_MS + 30);
    expect(await booksOf(paymentId)).toEqual(ONE_REFUND);
    const next = await ledger.refund(paymentId, { amountMinor: 500 });
    await takeLane(ledger.db, next, LATER_MS);
    const read = { nowMs: LATER_MS + 40, reading: reading([OURS], LATER_MS + 40) };
    expect(await ledger.claim(next, 1, read)).toMatchObject({ kind: 'claimed' });
  });

  it('and its refund does not fail of the window that closes meanwhile', async () => {
    const { paymentId, refundId } = await absentRefund();
    await ledger.reconcile(paymentId, [OURS], { readAtMs: LATER_MS });
    const closing = await compensateRefund(ledger.db, refundId, 'refund_window_expired', LATER_MS + 10);
    expect(closing).toMatchObject({ kind: 'refused' });
  });

  it('reconciled while its refund is in review', async () => {
    const { paymentId, refundId } = await absentRefund();
    await moveToReview(ledger.db, refundId, 'sent twice', START_MS + QUIET_MS * 3);
    await ledger.reconcile(paymentId, [OURS], { readAtMs: LATER_MS });
    expect(await ledger.look(refundId, [OURS], { nowMs: LATER_MS + 20 })).toEqual({ kind: 'landed' });
    await settleRefund(ledger.db, refundId, LATER_MS + 30);
    expect(await booksOf(paymentId)).toEqual(ONE_REFUND);
  });

  it('booked as moved without us by the admission of another refund, then adopted', async () => {
    const { paymentId, refundId } = await absentRefund();
    await ledger.refund(paymentId, {
      amountMinor: 500,
      reading: { snapshot: reading([OURS], LATER_MS), readAtMs: LATER_MS },
      nowMs: LATER_MS,
    });
    expect(await booksOf(paymentId)).toMatchObject({ external_minor: 1_000 });
    await ledger.look(refundId, [OURS], { nowMs: LATER_MS + 20 });
    await settleRefund(ledger.db, refundId, LATER_MS + 30);
    expect(await booksOf(paymentId)).toEqual({ ...ONE_REFUND, reserved_minor: 500 });
  });

  it('asked of a person between two equal refunds, and given to one', async () => {
    const { paymentId, refundId: one } = await absentRefund();
    await compensateRefund(ledger.db, one, 'refund_window_expired', START_MS + QUIET_MS * 3);
    const two = await ledger.refund(paymentId);
    await ledger.submit(two, unknown());
    await ledger.proveAbsent(two);
    await compensateRefund(ledger.db, two, 'refund_window_expired', START_MS + QUIET_MS * 3);
    await ledger.reconcile(paymentId, [OURS], { readAtMs: LATER_MS });
    expect(await resolve(one, 'succeeded', seen([OURS]))).toMatchObject({ kind: 'closed' });
    expect(await booksOf(paymentId)).toEqual(ONE_REFUND);
  });

  it('external while there was no room for it, and then resolved', async () => {
    const { paymentId, refundId } = await absentRefund(1_000);
    await compensateRefund(ledger.db, refundId, 'refund_window_expired', START_MS + QUIET_MS * 3);
    const other = await ledger.refund(paymentId, { amountMinor: 600 });
    await ledger.reconcile(paymentId, [OURS], { readAtMs: LATER_MS });
    await compensateRefund(ledger.db, other, 'refund_window_expired', LATER_MS + 500);
    expect(await resolve(refundId, 'succeeded', seen([OURS]))).toMatchObject({ kind: 'closed' });
    expect(await booksOf(paymentId)).toEqual(ONE_REFUND);
  });
});

describe('a review', () => {
  it('of money that landed beside its replacement can be ended: it stays counted as moved outside', async () => {
    const { paymentId, refundId } = await absentRefund(1_000);
    await compensateRefund(ledger.db, refundId, 'refund_window_expired', START_MS + QUIET_MS * 3);
    const second = await ledger.refund(paymentId);
    await ledger.submit(second, done('second'), { nowMs: LATER_MS, reading: reading([], LATER_MS) });
    await settleRefund(ledger.db, second, LATER_MS);
    const both = [shownRefund(1_000, 'succeeded', 'second'), shownRefund(1_000, 'succeeded', 'first')];
    await ledger.reconcile(paymentId, both, { readAtMs: LATER_MS + 10_000 });
    expect(await resolve(refundId, 'succeeded', seen(both))).toMatchObject({ kind: 'contradicted' });
    expect(await resolve(refundId, 'failed', seen(both))).toMatchObject({ kind: 'closed' });
    expect(await booksOf(paymentId)).toEqual({ ...ONE_REFUND, external_minor: 1_000 });
  });

  it('of a settled refund that shows less under its own id ends as failed, what moved counted', async () => {
    const paymentId = await ledger.payment();
    const refundId = await settledRefund(paymentId, 'ours');
    const shown = [shownRefund(400, 'succeeded', 'ours')];
    await ledger.reconcile(paymentId, shown, { readAtMs: LATER_MS });
    expect(await resolve(refundId, 'failed', seen(shown))).toMatchObject({ kind: 'closed' });
    expect(await booksOf(paymentId)).toEqual({ refunded_minor: 0, reserved_minor: 0, external_minor: 400 });
  });

  it('ended on a person’s word alone comes back where the money lands after all', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, unknown());
    await moveToReview(ledger.db, refundId, 'unclear', START_MS);
    const unread = { kind: 'unread', why: 'the provider knows no such payment', wordSuffices: true } as const;
    expect(await resolve(refundId, 'failed', unread)).toMatchObject({ kind: 'closed' });
    await ledger.reconcile(paymentId, [OURS], { readAtMs: LATER_MS + 60_000 });
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', review_ends_by: 'person' });
  });
});

describe('another amount', () => {
  it.each([
    ['a late acceptance', accepted('re_1')],
    ['a late success', done('re_1')],
  ])('once seen is not undone by %s', async (_, late) => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, accepted('re_1'));
    const shown = [shownRefund(400, 'succeeded', 're_1')];
    await ledger.look(refundId, shown, { nowMs: START_MS + 20_000 });
    await ledger.answer(refundId, 1, late, START_MS + 21_000);
    await ledger.look(refundId, shown, { nowMs: START_MS + 22_000 });
    await ledger.reconcile(paymentId, shown, { readAtMs: LATER_MS });
    expect(await booksOf(paymentId)).toEqual({ refunded_minor: 0, reserved_minor: 0, external_minor: 400 });
    expect(await resolve(refundId, 'succeeded', seen(shown))).toMatchObject({ kind: 'contradicted' });
  });

  it('without ids is taken for ours once ours must be listed: booked, and nothing more is sent', async () => {
    const paymentId = await ledger.payment({ provider: 'braspag' });
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, accepted());
    const shown = [shownRefund(100_000)];
    expect(await ledger.look(refundId, shown)).toMatchObject({ kind: 'cannotTell' });
    expect(await ledger.look(refundId, shown, { nowMs: LATER_MS })).toMatchObject({ kind: 'otherAmount' });
    expect(await booksOf(paymentId)).toEqual({
      refunded_minor: 0,
      reserved_minor: 0,
      external_minor: 100_000,
    });
    const paused = await ledger.db.selectFrom('provider_switches').selectAll().execute();
    expect(paused).toMatchObject([{ provider: 'braspag', actor: 'estorno' }]);
  });

  it('that the answer itself showed is booked at once', async () => {
    const paymentId = await ledger.payment({ provider: 'fourgeeks' });
    const refundId = await ledger.refund(paymentId);
    const error = { code: 'other_amount', message: 'the answer shows 100000 where 1000 was asked' };
    await ledger.submit(refundId, { kind: 'unknown', error, retryAfterMs: null });
    expect(await ledger.look(refundId, [shownRefund(100_000)])).toMatchObject({ kind: 'otherAmount' });
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', review_ends_by: 'person' });
    expect(await ledger.db.selectFrom('provider_switches').selectAll().execute()).toHaveLength(1);
  });

  it('in one strange entry takes the place of one refund alone', async () => {
    const paymentId = await ledger.payment();
    await settledRefund(paymentId, null);
    const two = await ledger.refund(paymentId, { amountMinor: 1_500 });
    await ledger.submit(two, done(), {
      nowMs: START_MS + 2_000,
      reading: reading([OURS], START_MS + 2_000),
    });
    await settleRefund(ledger.db, two, START_MS + 3_000);
    const odd = [shownRefund(700)];
    await ledger.reconcile(paymentId, odd, { readAtMs: LATER_MS });
    const { differences } = await ledger.reconcile(paymentId, odd, { readAtMs: LATER_MS + QUIET_MS });
    expect(differences.filter(({ kind }) => kind === 'other_amount')).toHaveLength(1);
  });
});

describe('what moved without us', () => {
  it('and is gone again is lowered by two readings a quiet time apart', async () => {
    const paymentId = await ledger.payment();
    await ledger.reconcile(paymentId, [OURS], { readAtMs: LATER_MS });
    expect(await booksOf(paymentId)).toMatchObject({ external_minor: 1_000 });
    const { readAgainAtMs } = await ledger.reconcile(paymentId, [], { readAtMs: LATER_MS + 1_000 });
    expect(readAgainAtMs).toBe(LATER_MS + 1_000 + QUIET_MS);
    expect(await booksOf(paymentId)).toMatchObject({ external_minor: 1_000 });
    await ledger.reconcile(paymentId, [], { readAtMs: LATER_MS + 1_000 + QUIET_MS });
    expect(await booksOf(paymentId)).toMatchObject({ external_minor: 0 });
  });
});

describe('the kill switch', () => {
  it('thrown while the provider is being read stops the call that would follow', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await takeLane(ledger.db, refundId, START_MS);
    const sent: string[] = [];
    const provider: RefundProvider = {
      name: 'efi',
      capabilities: CAPABILITIES,
      webhook: null,
      readPayment: async () => {
        const pause = { provider: 'efi', actor: 'olga', reason: 'odd', requestId: null, nowMs: START_MS };
        await ledger.db.transaction().execute((trx) => pauseProvider(trx, pause));
        return { kind: 'found', snapshot: reading([]) };
      },
      submitRefund: async (request) => {
        sent.push(request.refundId);
        return done();
      },
    };
    const { result } = await submit(depsWith(provider), { refundId, attempt: 1, nowMs: START_MS });
    expect(result).toMatchObject({ kind: 'notNow' });
    expect(sent).toEqual([]);
    expect(await ledger.refundRow(refundId)).toMatchObject({ provider_error: { code: 'provider_paused' } });
  });
});

/** Sent once, never answered, proven not to be there: its resend waits. */
async function absentRefund(amountMinor = 10_000): Promise<{ paymentId: string; refundId: string }> {
  const paymentId = await ledger.payment({ amountMinor });
  const refundId = await ledger.refund(paymentId);
  await ledger.submit(refundId, unknown());
  await ledger.proveAbsent(refundId);
  return { paymentId, refundId };
}

async function settledRefund(paymentId: string, providerRefundId: string | null): Promise<string> {
  const refundId = await ledger.refund(paymentId);
  await ledger.submit(refundId, done(providerRefundId));
  await settleRefund(ledger.db, refundId, START_MS + 1_000);
  return refundId;
}

function seen(refunds: readonly ProviderRefund[]): ResolutionAsk['seen'] {
  return { reading: reading(refunds, LATER_MS + 30_000), onlyOneRefund: false };
}

async function resolve(
  refundId: string,
  outcome: ReviewOutcome,
  shown: ResolutionAsk['seen'],
): Promise<Resolving> {
  const { version: refundVersion } = await ledger.refundRow(refundId);
  const decision = { id: `${refundId}-${outcome}`, refundVersion, outcome, evidence: 'ticket 1' };
  return resolveRefund(
    ledger.db,
    {
      refundId,
      decision: { ...decision, actor: 'olga', requestId: 'req_1', nonce: randomUUID(), proof: 'v1.test' },
      seen: shown,
      bounds: { providerTimeoutMs: TIMEOUT_MS, quietMs: QUIET_MS },
      nowMs: LATER_MS + 30_000,
    },
    NO_NEXT_ROUND,
  );
}

async function booksOf(paymentId: string) {
  const { refunded_minor, reserved_minor, external_minor } = await ledger.paymentRow(paymentId);
  return { refunded_minor, reserved_minor, external_minor };
}

function depsWith(provider: RefundProvider): ActivityDeps {
  const ignore = (): void => undefined;
  return {
    db: ledger.db,
    providers: new Map([['efi', { definition: { capabilities: CAPABILITIES }, provider }]]),
    policies: {
      of: async () => ({
        window: { pixDays: 90, pixWithdrawalMinutes: 60, timeZone: 'America/Sao_Paulo', safetyMinutes: 10 },
      }),
    },
    timings: { providerTimeoutMs: TIMEOUT_MS, providerQuietMs: QUIET_MS, retryMaxMs: 60_000 },
    nowMs: () => START_MS,
    log: { warn: ignore, error: ignore },
    observe: { attemptAnswered: ignore, providerRead: ignore, orphansResumed: ignore },
  } as unknown as ActivityDeps;
}
