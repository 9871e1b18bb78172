import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ProviderRefund } from '../src/domain/provider.js';
import { isPaused } from '../src/ledger/provider-switches.js';
import type { Reconciled } from '../src/ledger/reconcile.js';
import { resolveRefund } from '../src/ledger/resolution.js';
import { compensateRefund, settleRefund } from '../src/ledger/settlement.js';
import { assertBooks } from './setup/books.js';
import {
  accepted,
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
  NO_NEXT_ROUND,
} from './setup/ledger-scene.js';

const HOUR_MS = 3_600_000;
/** After everything that these tests do beforehand. */
const LATER_MS = START_MS + HOUR_MS;

let ledger: LedgerScene;
beforeAll(async () => {
  ledger = await openLedger();
});
afterAll(async () => {
  await ledger.close();
});

type Options = Parameters<LedgerScene['reconcile']>[2];

const compare = (
  paymentId: string,
  shown: readonly ProviderRefund[],
  readAtMs = LATER_MS,
  options: Omit<Options, 'readAtMs'> = {},
): Promise<Reconciled> => ledger.reconcile(paymentId, shown, { readAtMs, ...options });

/** A refund of 1,000 that succeeded under this id, or by its amount where it has none. */
async function succeeded(paymentId: string, id: string | null, options: { amountMinor?: number } = {}) {
  const refundId = await ledger.refund(paymentId, options);
  await ledger.submit(refundId, done(id));
  const closing = await settleRefund(ledger.db, refundId, START_MS + 2_000);
  expect(closing.kind).toBe('closed');
  return refundId;
}

const money = async (paymentId: string) => {
  const row = await ledger.paymentRow(paymentId);
  return [row.refunded_minor, row.reserved_minor, row.external_minor];
};

const kinds = ({ differences }: Reconciled) => differences.map(({ kind }) => kind);

const negative = (id: string | null) => shownRefund(1_000, 'rejected', id);
const there = (id: string | null) => shownRefund(1_000, 'succeeded', id);

describe('a refund that had succeeded', () => {
  it.each([
    ['by its id', true],
    ['by its amount', false],
  ] as const)(
    'is reversed by two negative readings a quiet time apart, %s, and its amount is given back once',
    async (_case, hasId) => {
      const paymentId = await ledger.payment();
      const id = hasId ? `back-${paymentId}` : null;
      const refundId = await succeeded(paymentId, id);
      const first = await compare(paymentId, [negative(id)]);
      expect(kinds(first)).toEqual([]);
      expect(first.readAgainAtMs).toBe(LATER_MS + QUIET_MS);
      expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'succeeded' });

      expect(kinds(await compare(paymentId, [negative(id)], LATER_MS + QUIET_MS - 1))).toEqual([]);
      expect(kinds(await compare(paymentId, [negative(id)], LATER_MS + QUIET_MS))).toEqual(['reversed']);
      expect(kinds(await compare(paymentId, [negative(id)], LATER_MS + 3 * QUIET_MS))).toEqual([]);
      const refund = await ledger.refundRow(refundId);
      expect(refund).toMatchObject({ status: 'reversed', money: 'released' });
      expect(refund.evidence).toMatchObject({ providerStatus: 'DONE' });
      expect(await money(paymentId)).toEqual([0, 0, 0]);
      expect((await ledger.eventTypes({ refundId })).slice(-2)).toEqual([
        'refund_doubted',
        'refund_reversed',
      ]);
      await assertBooks(ledger.db);

      const again = await ledger.refund(paymentId, { amountMinor: 10_000 });
      expect(await ledger.refundRow(again)).toMatchObject({ status: 'pending', amount_minor: 10_000 });
    },
  );

  it('stands after a single negative reading, and after one in between that shows it well', async () => {
    const paymentId = await ledger.payment();
    const refundId = await succeeded(paymentId, `fine-${paymentId}`);
    await compare(paymentId, [negative(`fine-${paymentId}`)]);
    await compare(paymentId, [there(`fine-${paymentId}`)], LATER_MS + QUIET_MS / 2);
    const last = await compare(paymentId, [negative(`fine-${paymentId}`)], LATER_MS + QUIET_MS);
    expect([kinds(last), last.readAgainAtMs]).toEqual([[], LATER_MS + 2 * QUIET_MS]);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'succeeded', money: 'refunded' });
    expect(await money(paymentId)).toEqual([1_000, 0, 0]);
    expect((await ledger.eventTypes({ refundId })).slice(-3)).toEqual([
      'refund_doubted',
      'doubt_cleared',
      'refund_doubted',
    ]);
  });

  it('stands after readings that may be cut, say an unknown status, or are older than its success', async () => {
    const paymentId = await ledger.payment();
    const refundId = await succeeded(paymentId, `cut-${paymentId}`);
    const shown = [negative(`cut-${paymentId}`)];
    for (const readAtMs of [LATER_MS, LATER_MS + 2 * QUIET_MS]) {
      await compare(paymentId, shown, readAtMs, { facts: { complete: false } });
      await compare(paymentId, [], readAtMs, { facts: { status: 'unknown' } });
    }
    await compare(paymentId, shown, START_MS - 2 * QUIET_MS);
    await compare(paymentId, shown, START_MS);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'succeeded' });
    expect((await ledger.attempts(refundId))[0]?.doubts).toEqual([]);
  });

  it('goes to review, still counted, when two readings a quiet time apart no longer show it', async () => {
    const paymentId = await ledger.payment();
    const refundId = await succeeded(paymentId, `gone-${paymentId}`);
    expect(kinds(await compare(paymentId, []))).toEqual([]);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'succeeded' });
    expect(kinds(await compare(paymentId, [], LATER_MS + QUIET_MS))).toEqual(['disappeared']);
    expect(await ledger.refundRow(refundId)).toMatchObject({
      status: 'review',
      review_ends_by: 'person',
      money: 'refunded',
    });
    expect(await money(paymentId)).toEqual([1_000, 0, 0]);
  });

  it('is not doubted again for what a person knew who said that it succeeded, but for an explicit word', async () => {
    const paymentId = await ledger.payment();
    const refundId = await succeeded(paymentId, `said-${paymentId}`);
    await compare(paymentId, []);
    await compare(paymentId, [], LATER_MS + QUIET_MS);
    const { version } = await ledger.refundRow(refundId);
    const resolvedAtMs = LATER_MS + 2 * QUIET_MS;
    const resolving = await resolveRefund(
      ledger.db,
      {
        refundId,
        decision: {
          id: `decision-${refundId}`,
          refundVersion: version,
          outcome: 'succeeded',
          evidence: 'It is in the bank’s statement.',
          actor: 'olga',
          requestId: 'req_decision',
          nonce: randomUUID(),
          proof: 'v1.test',
        },
        seen: { reading: reading([], resolvedAtMs), onlyOneRefund: false },
        bounds: { providerTimeoutMs: TIMEOUT_MS, quietMs: QUIET_MS },
        nowMs: resolvedAtMs,
      },
      NO_NEXT_ROUND,
    );
    expect(resolving.kind).toBe('closed');
    for (const quietTimes of [3, 4, 5]) {
      expect(kinds(await compare(paymentId, [], LATER_MS + quietTimes * QUIET_MS))).toEqual([]);
    }
    await compare(paymentId, [negative(`said-${paymentId}`)], LATER_MS + 6 * QUIET_MS);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'succeeded', money: 'refunded' });
    const last = await compare(paymentId, [negative(`said-${paymentId}`)], LATER_MS + 7 * QUIET_MS);
    expect(kinds(last)).toEqual(['reversed']);
    expect(await money(paymentId)).toEqual([0, 0, 0]);
  });

  it('gives way to the one entry that stands in its place, once it is gone for a quiet time', async () => {
    const paymentId = await ledger.payment({ provider: 'picpay' });
    const refundId = await succeeded(paymentId, null);
    const shown = [shownRefund(1_300, 'succeeded', `instead-${paymentId}`)];
    expect(kinds(await compare(paymentId, shown))).toEqual(['external']);
    expect(await isPaused(ledger.db, 'picpay')).toBe(false);
    expect(kinds(await compare(paymentId, shown, LATER_MS + QUIET_MS))).toEqual(['other_amount']);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', money: 'released' });
    expect(await money(paymentId)).toEqual([0, 0, 1_300]);
    expect(await isPaused(ledger.db, 'picpay')).toBe(true);
  });

  it('goes to review with its provider paused when another amount is booked, which counts as it is', async () => {
    const paymentId = await ledger.payment({ provider: 'braspag' });
    const refundId = await succeeded(paymentId, `more-${paymentId}`);
    const shown = [shownRefund(1_300, 'succeeded', `more-${paymentId}`)];
    expect(kinds(await compare(paymentId, shown))).toEqual(['other_amount', 'external']);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', review_ends_by: 'person' });
    expect(await money(paymentId)).toEqual([0, 0, 1_300]);
    expect(await isPaused(ledger.db, 'braspag')).toBe(true);
    expect(await isPaused(ledger.db, 'efi')).toBe(false);
    expect(kinds(await compare(paymentId, shown, LATER_MS + QUIET_MS))).toEqual([]);
    expect(await money(paymentId)).toEqual([0, 0, 1_300]);
  });

  it('of two equal ones without ids, neither is reversed where one shows as negative: a person looks', async () => {
    const paymentId = await ledger.payment();
    const one = await succeeded(paymentId, null);
    const second = await ledger.refund(paymentId);
    await ledger.submit(second, done(), { reading: reading([there(null)], START_MS + 3_000) });
    await settleRefund(ledger.db, second, START_MS + 4_000);
    const shown = [there(null), negative(null)];
    await compare(paymentId, shown);
    expect(kinds(await compare(paymentId, shown, LATER_MS + QUIET_MS))).toEqual([
      'disappeared',
      'disappeared',
    ]);
    expect(await ledger.refundRow(one)).toMatchObject({ status: 'review', money: 'refunded' });
    expect(await money(paymentId)).toEqual([2_000, 0, 0]);
  });
});

describe('a refund that had ended without money', () => {
  async function failedAbsent(paymentId: string): Promise<string> {
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, unknown());
    await ledger.proveAbsent(refundId);
    await failed(refundId);
    return refundId;
  }

  async function failed(refundId: string): Promise<void> {
    const closing = await compensateRefund(
      ledger.db,
      refundId,
      'refund_window_expired',
      START_MS + 10 * QUIET_MS,
    );
    expect(closing.kind).toBe('closed');
  }

  it('goes to review with its amount counted at once when it shows up by its id', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, accepted(`late-${paymentId}`));
    await ledger.look(refundId, [negative(`late-${paymentId}`)]);
    await failed(refundId);
    expect(kinds(await compare(paymentId, [negative(`late-${paymentId}`)]))).toEqual([]);
    expect(kinds(await compare(paymentId, [there(`late-${paymentId}`)], LATER_MS + 1))).toEqual([
      'landed_late',
    ]);
    expect(await ledger.refundRow(refundId)).toMatchObject({
      status: 'review',
      review_ends_by: 'person',
      money: 'reserved',
    });
    expect(await money(paymentId)).toEqual([0, 1_000, 0]);
    await assertBooks(ledger.db);
  });

  it('is counted once where its entry was booked as external before', async () => {
    const paymentId = await ledger.payment();
    const refundId = await failedAbsent(paymentId);
    await ledger.db
      .updateTable('payments')
      .set({ external_minor: 1_000, external_read_at: new Date(LATER_MS - 1) })
      .where('id', '=', paymentId)
      .execute();
    expect(kinds(await compare(paymentId, [there(`x-${paymentId}`)]))).toEqual(['landed_late']);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', money: 'reserved' });
    expect(await money(paymentId)).toEqual([0, 1_000, 0]);
  });

  it('is asked about together with its equal where one entry may be either’s, and the entry counts as external', async () => {
    const paymentId = await ledger.payment();
    const both = [await failedAbsent(paymentId), await failedAbsent(paymentId)];
    const compared = await compare(paymentId, [there(null)]);
    expect(kinds(compared)).toEqual(['landed_late', 'landed_late', 'external']);
    for (const refundId of both) {
      expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', money: 'released' });
    }
    expect(await money(paymentId)).toEqual([0, 0, 1_000]);
  });

  it('is left alone by a new entry of another amount, and by one that a landed refund explains', async () => {
    const paymentId = await ledger.payment();
    const refundId = await failedAbsent(paymentId);
    await succeeded(paymentId, `own-${paymentId}`);
    const shown = [there(`own-${paymentId}`), shownRefund(700)];
    expect(kinds(await compare(paymentId, shown))).toEqual(['external']);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'failed' });
    expect(await money(paymentId)).toEqual([1_000, 0, 700]);
  });

  it('is left alone where the provider had plainly declined it: a new entry is not ours', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, declined());
    await failed(refundId);
    expect(kinds(await compare(paymentId, [there(null)]))).toEqual(['external']);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'failed' });
    expect(await money(paymentId)).toEqual([0, 0, 1_000]);
  });

  it('goes to review when a reversed one shows as done again', async () => {
    const paymentId = await ledger.payment();
    const id = `to-and-fro-${paymentId}`;
    const refundId = await succeeded(paymentId, id);
    await compare(paymentId, [negative(id)]);
    await compare(paymentId, [negative(id)], LATER_MS + QUIET_MS);
    expect(kinds(await compare(paymentId, [there(id)], LATER_MS + 2 * QUIET_MS))).toEqual(['landed_late']);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'review', money: 'reserved' });
    expect(await money(paymentId)).toEqual([0, 1_000, 0]);
  });
});

describe('a payment', () => {
  it('shows money that moved without us in its trail, and whoever waits unsent hears of it', async () => {
    const paymentId = await ledger.payment({ amountMinor: 1_500 });
    const waiting = await ledger.refund(paymentId);
    const compared = await compare(paymentId, [there('panel')]);
    expect(kinds(compared)).toEqual(['external', 'overshoot']);
    expect(compared.retryRefundIds).toEqual([waiting]);
    expect(await money(paymentId)).toEqual([0, 1_000, 1_000]);
    const seen = await ledger.db
      .selectFrom('refund_events')
      .select('origin')
      .where('payment_id', '=', paymentId)
      .where('type', '=', 'external_refunds_seen')
      .execute();
    expect(seen).toEqual([{ origin: 'provider' }]);
  });

  it('has its open attempt adopted as evidence, and the refund is left to its own workflow', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, accepted(`open-${paymentId}`));
    const tooEarly = await compare(paymentId, [there(`open-${paymentId}`)], START_MS + TIMEOUT_MS);
    expect(tooEarly.hintRefundIds).toEqual([]);
    const compared = await compare(paymentId, [there(`open-${paymentId}`)]);
    expect([kinds(compared), compared.hintRefundIds]).toEqual([['adopted'], [refundId]]);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'pending', money: 'reserved' });
    expect((await ledger.attempts(refundId))[0]).toMatchObject({
      conclusion: 'landed',
      evidence: { source: 'reconciliation' },
    });
    expect(await money(paymentId)).toEqual([0, 1_000, 0]);
  });
});
