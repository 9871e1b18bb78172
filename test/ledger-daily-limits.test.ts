import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import type { Policy } from '../src/domain/policy.js';
import { usedSoFar, usedToday, type LimitedRefund } from '../src/ledger/daily-limits.js';
import { compensateRefund } from '../src/ledger/settlement.js';
import { openLedger, POLICY, START_MS, type LedgerScene } from './setup/ledger-scene.js';

const DAY_START_MS = Date.parse('2026-03-10T00:00:00-03:00');

let ledger: LedgerScene;
beforeEach(async () => {
  ledger = await openLedger();
});
afterEach(() => ledger.close());

const limits = (byActor: number | null, byProvider: number | null): Policy['limits'] => ({
  dailyByActorMinor: byActor,
  dailyByProviderMinor: byProvider,
});
const asked = (changes: Partial<LimitedRefund> = {}): LimitedRefund => ({
  actor: 'ana',
  provider: 'efi',
  currency: 'BRL',
  dayStartMs: DAY_START_MS,
  limits: limits(9_000, 20_000),
  ...changes,
});
const used = async (changes: Partial<LimitedRefund> = {}) => {
  const { byActor, byProvider } = await usedSoFar(ledger.db, asked(changes));
  return [byActor?.usedMinor, byProvider?.usedMinor];
};

describe('what is used today', () => {
  it('is what the actor asked for of anybody, and what anybody asked for of the provider', async () => {
    const [efi, pagou] = [await ledger.payment(), await ledger.payment({ provider: 'pagou' })];
    await ledger.refund(efi, { amountMinor: 1 });
    await ledger.refund(efi, { amountMinor: 10, actor: 'bob' });
    await ledger.refund(pagou, { amountMinor: 100 });
    expect(await used()).toEqual([101, 11]);
    expect(await used({ actor: 'bob', provider: 'pagou' })).toEqual([10, 100]);
    expect(await used({ actor: 'eve', provider: 'picpay' })).toEqual([0, 0]);
  });

  it('holds what was asked for from 00:00 on, and nothing of the day before', async () => {
    const paymentId = await ledger.payment();
    await ledger.refund(paymentId, { amountMinor: 1, nowMs: DAY_START_MS - 1 });
    await ledger.refund(paymentId, { amountMinor: 10, nowMs: DAY_START_MS });
    expect(await used()).toEqual([10, 10]);
  });

  it('gives back what was released, and counts each currency for itself', async () => {
    const paymentId = await ledger.payment();
    await ledger.refund(paymentId, { amountMinor: 1 });
    const released = await ledger.refund(paymentId, { amountMinor: 10 });
    expect(await used()).toEqual([11, 11]);
    await compensateRefund(ledger.db, released, 'provider_unavailable', START_MS);
    expect(await used()).toEqual([1, 1]);
    expect(await used({ currency: 'USD' })).toEqual([0, 0]);
  });

  it('is told beside its limit, and not at all where none is set', async () => {
    const byActor = { limitMinor: 5, usedMinor: 0 };
    expect(await usedSoFar(ledger.db, asked({ limits: limits(5, null) }))).toEqual({
      byActor,
      byProvider: null,
    });
    expect(await usedSoFar(ledger.db, asked({ limits: limits(null, null) }))).toEqual({
      byActor: null,
      byProvider: null,
    });
  });
});

describe('admissions at the same moment', () => {
  const policyWith = (byActor: number | null, byProvider: number | null) => ({
    ...POLICY,
    limits: limits(byActor, byProvider),
  });
  const payments = (count: number, provider = 'efi') =>
    Promise.all(Array.from({ length: count }, () => ledger.payment({ provider })));

  it('of one actor on two payments can not both pass a limit that has room for one', async () => {
    const policy = policyWith(1_000, null);
    const two = await payments(2);
    const outcomes = await Promise.all(two.map((paymentId) => ledger.admit(paymentId, { policy })));
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['admitted', 'refused']);
    expect(outcomes.find(({ kind }) => kind === 'refused')).toMatchObject({
      broken: [{ code: 'limit_exceeded', pointer: '/amount' }],
    });
    const rows = await Promise.all(two.map((paymentId) => ledger.paymentRow(paymentId)));
    expect(rows.map((row) => row.reserved_minor).sort()).toEqual([0, 1_000]);
  });

  it.each([
    ['an actor’s limit', policyWith(5_000, null), () => 'ana'],
    ['a provider’s limit', policyWith(null, 5_000), (at: number) => `actor-${at}`],
  ])('pass %s as often as it has room', async (_case, policy, actorOf) => {
    const outcomes = await Promise.all(
      (await payments(16)).map((paymentId, at) => ledger.admit(paymentId, { policy, actor: actorOf(at) })),
    );
    expect(outcomes.filter(({ kind }) => kind === 'admitted')).toHaveLength(5);
    expect(outcomes.filter(({ kind }) => kind === 'refused')).toHaveLength(11);
  });

  it('never wait for each other in a circle where both limits are set', async () => {
    const policy = policyWith(3_000, 4_000);
    const mixed = [...(await payments(12)), ...(await payments(12, 'pagou'))];
    const outcomes = await Promise.all(
      mixed.map((paymentId, at) => ledger.admit(paymentId, { policy, actor: at % 2 === 0 ? 'ana' : 'bob' })),
    );
    // Each of the two actors has room for three.
    expect(outcomes.filter(({ kind }) => kind === 'admitted')).toHaveLength(6);
  });

  it.each([
    [limits(null, null), 0],
    [limits(1, null), 1],
    [limits(null, 1), 1],
    [limits(1, 1), 2],
  ])('are held up by no lock but those of the limits that are set: %j takes %i', async (set, locks) => {
    const held = await ledger.db.transaction().execute(async (trx) => {
      await usedToday(trx, asked({ limits: set }));
      const { rows } = await sql`
        SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`.execute(trx);
      return rows.length;
    });
    expect(held).toBe(locks);
  });
});
