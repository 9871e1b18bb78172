import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import { refuseUnread } from '../src/ledger/admission.js';
import { forgetWithBooks } from './setup/books.js';
import {
  CAPABILITIES,
  accepted,
  declined,
  done,
  openLedger,
  reading,
  shownRefund,
  START_MS,
  type LedgerScene,
} from './setup/ledger-scene.js';
import { compensateRefund, settleRefund } from '../src/ledger/settlement.js';

let ledger: LedgerScene;
beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(() => forgetWithBooks(ledger));
afterAll(() => ledger.close());

describe('admission under load', () => {
  it('accepts of 60 at once exactly as many as fit, and tells the others amount_exceeds_available', async () => {
    const paymentId = await ledger.payment({ amountMinor: 10_000 });
    const outcomes = await Promise.all(
      Array.from({ length: 60 }, () => ledger.admit(paymentId, { amountMinor: 700 })),
    );
    expect(outcomes.filter((outcome) => outcome.kind === 'admitted')).toHaveLength(14);
    const refused = outcomes.filter((outcome) => outcome.kind === 'refused');
    expect(refused).toHaveLength(46);
    for (const { broken } of refused) {
      expect(broken.map((rule) => rule.code)).toEqual(['amount_exceeds_available']);
    }
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ refunded_minor: 0, reserved_minor: 9_800 });
  });

  it('has the database itself refuse what all code above it let through', async () => {
    const paymentId = await ledger.payment({ amountMinor: 10_000 });
    await ledger.refund(paymentId, { amountMinor: 6_000 });
    const overReserve = sql`UPDATE payments SET reserved_minor = 10001 WHERE id = ${paymentId}`;
    await expect(overReserve.execute(ledger.db)).rejects.toThrow('payments_never_over_refunded');
    const overRefund = sql`UPDATE payments SET refunded_minor = 4001 WHERE id = ${paymentId}`;
    await expect(overRefund.execute(ledger.db)).rejects.toThrow('payments_never_over_refunded');
  });

  it('accepts one of many at once where the provider allows one refund a payment', async () => {
    const paymentId = await ledger.payment({ provider: 'pagou' });
    const capabilities = { ...CAPABILITIES, partials: 'one' as const };
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, () => ledger.admit(paymentId, { amountMinor: 100, capabilities })),
    );
    expect(outcomes.filter((outcome) => outcome.kind === 'admitted')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome.kind === 'refused')).toHaveLength(19);
  });
});

describe('an idempotency key', () => {
  const asked = { refundId: 'rfd_same', idempotencyKey: 'same' };

  it('gives the same run its own outcome again, admitted or refused', async () => {
    const paymentId = await ledger.payment();
    const first = await ledger.admit(paymentId, { ...asked, runId: 'run-a' });
    const again = await ledger.admit(paymentId, { ...asked, runId: 'run-a' });
    expect(again).toEqual(first);
    expect(first).toMatchObject({ kind: 'admitted', refund: { id: 'rfd_same' } });

    const tooMuch = { refundId: 'rfd_other', idempotencyKey: 'other', runId: 'run-b', amountMinor: 99_999 };
    const refused = await ledger.admit(paymentId, tooMuch);
    expect(refused).toMatchObject({ kind: 'refused', broken: [{ code: 'amount_exceeds_available' }] });
    expect(await ledger.admit(paymentId, tooMuch)).toEqual(refused);
  });

  it('tells another run that it is decided, and another body that it is used', async () => {
    const paymentId = await ledger.payment();
    await ledger.admit(paymentId, { ...asked, runId: 'run-a' });
    expect(await ledger.admit(paymentId, { ...asked, runId: 'run-b' })).toEqual({ kind: 'replayed' });
    const otherBody = { ...asked, runId: 'run-a', fingerprint: 'another' };
    expect(await ledger.admit(paymentId, otherBody)).toEqual({ kind: 'keyReused' });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ reserved_minor: 1_000 });
  });

  it('admits once when two runs ask at the same instant', async () => {
    const paymentId = await ledger.payment();
    const outcomes = await Promise.all([
      ledger.admit(paymentId, { ...asked, runId: 'run-a' }),
      ledger.admit(paymentId, { ...asked, runId: 'run-b' }),
    ]);
    expect(outcomes.map((outcome) => outcome.kind).sort()).toEqual(['admitted', 'replayed']);
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ reserved_minor: 1_000 });
  });

  it('reserves once when it is used for two payments at the same instant', async () => {
    const [one, other] = [await ledger.payment(), await ledger.payment()];
    const ask = (paymentId: string) =>
      ledger.admit(paymentId, { ...asked, runId: paymentId, fingerprint: paymentId });
    const settled = await Promise.allSettled([ask(one), ask(other)]);
    const kinds = settled.map((result) => (result.status === 'fulfilled' ? result.value.kind : 'aborted'));
    expect(kinds.filter((kind) => kind === 'admitted')).toHaveLength(1);
    // Whoever lost, by an aborted transaction or told so, learns on repeating that the key is used.
    const loser = kinds[0] === 'admitted' ? other : one;
    expect(await ask(loser)).toEqual({ kind: 'keyReused' });
    expect(await ledger.paymentRow(loser)).toMatchObject({ reserved_minor: 0 });
  });

  it('keeps a refusal and replays it, though the amount would fit by now', async () => {
    const paymentId = await ledger.payment({ amountMinor: 1_000 });
    const first = await ledger.refund(paymentId);
    expect(await ledger.admit(paymentId, { ...asked, runId: 'run-a' })).toMatchObject({ kind: 'refused' });
    await compensateRefund(ledger.db, first, 'provider_unavailable', START_MS);
    expect(await ledger.admit(paymentId, { ...asked, runId: 'run-a' })).toMatchObject({ kind: 'refused' });
    expect(await ledger.admit(paymentId, { ...asked, runId: 'run-b' })).toEqual({ kind: 'replayed' });
  });

  it('keeps a refusal that needed no payment', async () => {
    const key = { ...asked, actor: 'ana', fingerprint: 'f', requestId: 'req', askId: 'ask', runId: 'run-a' };
    const broken = [{ code: 'provider_not_enabled' as const, detail: 'off', pointer: '' }];
    const refused = { kind: 'refused', broken, firstAskId: 'ask' };
    expect(await refuseUnread(ledger.db, key, broken, START_MS)).toEqual(refused);
    expect(await refuseUnread(ledger.db, key, broken, START_MS)).toEqual(refused);
    expect(await refuseUnread(ledger.db, { ...key, runId: 'run-b' }, broken, START_MS)).toEqual({
      kind: 'replayed',
    });
  });
});

describe('a reference', () => {
  it('is refused twice while live, with nothing stored, and free again after the refund failed', async () => {
    const paymentId = await ledger.payment();
    const first = await ledger.refund(paymentId, { reference: 'order-7' });
    const again = { reference: 'order-7', refundId: 'rfd_again', idempotencyKey: 'again' };
    const duplicate = { kind: 'duplicateReference', refundId: first };
    expect(await ledger.admit(paymentId, again)).toEqual(duplicate);
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ reserved_minor: 1_000 });
    expect(
      await ledger.db.selectFrom('idempotency').selectAll().where('key', '=', 'again').execute(),
    ).toEqual([]);

    await compensateRefund(ledger.db, first, 'provider_unavailable', START_MS);
    expect(await ledger.admit(paymentId, again)).toMatchObject({ kind: 'admitted' });
  });

  it('is given to one of many that ask at once', async () => {
    const paymentId = await ledger.payment();
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => ledger.admit(paymentId, { amountMinor: 10, reference: 'order-7' })),
    );
    expect(outcomes.filter((outcome) => outcome.kind === 'admitted')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome.kind === 'duplicateReference')).toHaveLength(9);
  });
});

describe('money outside our sight, at admission', () => {
  const seen = (amounts: number[], readAtMs: number) => ({
    snapshot: reading(
      amounts.map((amountMinor) => shownRefund(amountMinor)),
      readAtMs,
    ),
    readAtMs,
  });

  it('counts against what may be refunded, and is booked in the trail though the refund is refused', async () => {
    const paymentId = await ledger.payment({ amountMinor: 1_000 });
    const outcome = await ledger.admit(paymentId, { amountMinor: 500, reading: seen([600], START_MS) });
    expect(outcome).toMatchObject({ kind: 'refused', broken: [{ code: 'amount_exceeds_available' }] });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 600 });
    expect(await ledger.eventTypes({ paymentId })).toEqual(['payment_registered', 'external_refunds_seen']);
  });

  it('is lowered by no reading older than the one that it rests on', async () => {
    const paymentId = await ledger.payment();
    await ledger.admit(paymentId, { amountMinor: 10, reading: seen([600], START_MS + 1_000) });
    await ledger.admit(paymentId, { amountMinor: 10, reading: seen([], START_MS) });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 600 });
  });

  it('is lowered by what shows as rejected, and never by what is merely not shown', async () => {
    const paymentId = await ledger.payment();
    await ledger.admit(paymentId, { amountMinor: 10, reading: seen([600], START_MS + 1_000) });
    await ledger.admit(paymentId, { amountMinor: 10, reading: seen([], START_MS + 2_000) });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 600 });
    const readAtMs = START_MS + 3_000;
    const rejected = { snapshot: reading([shownRefund(600, 'rejected')], readAtMs), readAtMs };
    await ledger.admit(paymentId, { amountMinor: 10, reading: rejected });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 0 });
  });

  it('is lowered by no reading that lacks what settled here', async () => {
    const paymentId = await ledger.payment();
    const shown = seen([600], START_MS);
    await ledger.admit(paymentId, { amountMinor: 10, reading: shown });
    const refundId = await ledger.refund(paymentId, { amountMinor: 1_000 });
    await ledger.submit(refundId, done(), { reading: shown.snapshot });
    await settleRefund(ledger.db, refundId, START_MS + 2_000);
    await ledger.admit(paymentId, { amountMinor: 10, reading: seen([], START_MS + 60_000) });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 600, refunded_minor: 1_000 });
  });

  it('is not computed while an attempt is open: the new entry may be ours', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, accepted());
    await ledger.admit(paymentId, { amountMinor: 10, reading: seen([1_000], START_MS + 5_000) });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 0 });
  });

  it('does not include a refund of ours that landed, settled or not', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, done('at-provider'));
    const withOurs = [
      shownRefund(1_000, 'succeeded', 'at-provider'),
      shownRefund(1_000, 'succeeded', 'panel'),
    ];
    const readAtMs = START_MS + 60_000;
    const shown = { snapshot: reading(withOurs, readAtMs), readAtMs };
    await ledger.admit(paymentId, { amountMinor: 10, reading: shown });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 1_000 });
    await settleRefund(ledger.db, refundId, START_MS + 2_000);
    await ledger.admit(paymentId, { amountMinor: 10, reading: shown });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({
      external_minor: 1_000,
      refunded_minor: 1_000,
    });
  });

  it('does not include what the provider shows as rejected', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await ledger.submit(refundId, declined());
    const readAtMs = START_MS + 60_000;
    const shown = { snapshot: reading([shownRefund(1_000, 'rejected')], readAtMs), readAtMs };
    await ledger.admit(paymentId, { amountMinor: 10, reading: shown });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 0 });
  });

  it('is read from words that PostgreSQL can not hold', async () => {
    const paymentId = await ledger.payment();
    const snapshot = reading([shownRefund(5, 'unknown', 'a\0b')], START_MS, {
      providerStatus: 'PA\uD800ID\0',
    });
    await ledger.refund(paymentId, { reading: { snapshot, readAtMs: START_MS } });
    expect(await ledger.paymentRow(paymentId)).toMatchObject({ external_minor: 5 });
  });
});
