import { expect } from '@jest/globals';
import { verifyLedger } from '../../src/ledger/audit/verify.js';
import type { Database } from '../../src/ledger/database.js';
import { eventHash } from '../../src/ledger/event-chain.js';
import type { EventRow } from '../../src/ledger/refund-reads.js';
import { isOpen } from '../../src/domain/refund.js';
import type { LedgerScene } from './ledger-scene.js';

/** The end of a suite whose every case must have left the books right. */
export function closeWithBooks(ledger: Pick<LedgerScene, 'db' | 'close'>): Promise<void> {
  return afterBooks(ledger.db, ledger.close);
}

/** The same after each case of a suite whose cases each have a ledger for themselves. */
export function forgetWithBooks(ledger: Pick<LedgerScene, 'db' | 'forget'>): Promise<void> {
  return afterBooks(ledger.db, ledger.forget);
}

async function afterBooks(db: Database, end: () => Promise<void>): Promise<void> {
  try {
    await assertBooks(db);
  } finally {
    await end();
  }
}

/** Whatever happened before: no money appears, vanishes or moves twice, and the trail tells how it came. */
export async function assertBooks(db: Database): Promise<void> {
  expect((await verifyLedger(db)).breaks).toEqual([]);
  const payments = await db.selectFrom('payments').selectAll().execute();
  const refunds = await db.selectFrom('refunds').selectAll().execute();
  const attempts = await db.selectFrom('provider_attempts').selectAll().execute();
  const lanes = await db.selectFrom('lanes').selectAll().execute();
  const waiters = await db.selectFrom('lane_waiters').selectAll().execute();
  const events = await db.selectFrom('refund_events').selectAll().orderBy('sequence').execute();

  for (const payment of payments) {
    const held = (money: string): number =>
      refunds
        .filter((refund) => refund.payment_id === payment.id && refund.money === money)
        .reduce((sum, refund) => sum + refund.amount_minor, 0);
    expect([payment.id, payment.refunded_minor]).toEqual([payment.id, held('refunded')]);
    expect([payment.id, payment.reserved_minor]).toEqual([payment.id, held('reserved')]);
    expect(payment.refunded_minor + payment.reserved_minor).toBeLessThanOrEqual(payment.amount_minor);
    verifyChain(events.filter((event) => event.payment_id === payment.id && event.refund_id === null));
  }
  for (const refund of refunds) {
    const trail = events.filter((event) => event.refund_id === refund.id);
    verifyChain(trail);
    expect(trail.at(-1)).toMatchObject({ sequence: refund.event_sequence, hash: refund.event_hash });
    const transitions = trail.filter((event) => typeof event.data.version === 'number');
    expect(transitions.map((event) => event.data.version)).toEqual(
      Array.from({ length: refund.version }, (_, at) => at + 1),
    );
    expect(transitions.at(-1)?.data.status).toBe(refund.status);

    const own = attempts.filter((attempt) => attempt.refund_id === refund.id);
    const live = own.filter((attempt) => attempt.conclusion === null || attempt.conclusion === 'landed');
    // A refund that was carried out twice ends by a person's decision alone.
    const resolved = trail.some((event) => event.type === 'review_resolved');
    const landings = new Set(live.map((attempt) => attempt.conclusion));
    if (refund.status === 'succeeded') {
      expect([[...landings], resolved || live.length === 1]).toEqual([['landed'], true]);
      // Money without room in its payment stays counted as moved outside, and a person has said so.
    } else if (!isOpen(refund.status) && !resolved) expect(live).toEqual([]);
    expect(own.map((attempt) => attempt.number).sort((a, b) => a - b)).toEqual(
      Array.from({ length: refund.attempt }, (_, at) => at + 1),
    );
  }
  const openIds = refunds.filter((refund) => isOpen(refund.status)).map((refund) => refund.id);
  for (const lane of lanes) expect(openIds).toContain(lane.holder_refund_id);
  for (const waiter of waiters) expect(openIds).toContain(waiter.refund_id);
}

/** Recomputed from the stored rows alone, in their order. @throws where a row was altered, removed or put in. */
export function verifyChain(events: readonly EventRow[]): void {
  let previousHash = '';
  events.forEach((event, at) => {
    expect([event.sequence, event.previous_hash]).toEqual([at + 1, previousHash]);
    const { payment_id, refund_id, sequence, type, origin, actor, reason, request_id, data } = event;
    const stored = { payment_id, refund_id, sequence, type, origin, actor, reason, request_id, data };
    previousHash = eventHash({ ...stored, occurred_at: event.occurred_at.toISOString() }, previousHash);
    expect(event.hash).toBe(previousHash);
  });
}
