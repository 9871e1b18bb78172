import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { sql } from 'kysely';
import pg from 'pg';
import { appendEvent } from '../src/ledger/attempt-writes.js';
import type { LedgerTransaction } from '../src/ledger/database.js';
import { takeLane } from '../src/ledger/lanes.js';
import { lockRefund } from '../src/ledger/refunds.js';
import { settleRefund } from '../src/ledger/settlement.js';
import { forgetWithBooks } from './setup/books.js';
import { done, openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';

let ledger: LedgerScene;
beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(() => forgetWithBooks(ledger));
afterAll(() => ledger.close());

/** Until so many wait for a row of this database. */
async function untilWaiting(count: number): Promise<void> {
  for (;;) {
    const { rows } = await sql`SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(ledger.db);
    if (rows.length === count) return;
  }
}

/** Somebody who locks the refund while `holding` is under way, and has waited in vain before. */
async function waiterBehind(
  refundId: string,
  holding: (trx: LedgerTransaction, untilItWaits: () => Promise<void>) => Promise<void>,
): ReturnType<typeof lockRefund> {
  const { waiter } = await ledger.db.transaction().execute(async (trx) => {
    let started: ReturnType<typeof lockRefund> | undefined;
    await holding(trx, async () => {
      started = ledger.db.transaction().execute((other) => lockRefund(other, refundId));
      await untilWaiting(1);
    });
    return { waiter: started };
  });
  if (!waiter) throw new Error('nobody waited');
  return waiter;
}

describe('the locks of a refund', () => {
  it.each([true, false])(
    'show both rows as whoever held the payment left them; it changed the payment itself: %s',
    async (changesPayment) => {
      const paymentId = await ledger.payment();
      const refundId = await ledger.refund(paymentId);
      const seen = await waiterBehind(refundId, async (trx, untilItWaits) => {
        await trx.selectFrom('payments').select('id').where('id', '=', paymentId).forUpdate().execute();
        await untilItWaits();
        if (changesPayment) {
          const columns = { external_read_at: new Date(START_MS) };
          await trx.updateTable('payments').set(columns).where('id', '=', paymentId).execute();
        }
        await appendEvent(trx, await ledger.refundRow(refundId), { type: 'noted', data: {} }, START_MS);
      });
      const [refund, payment] = [await ledger.refundRow(refundId), await ledger.paymentRow(paymentId)];
      expect(refund.event_sequence).toBe(2);
      expect(seen).toEqual({ refund, payment });
    },
  );

  it('are taken on the payment first', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await waiterBehind(refundId, async (trx, untilItWaits) => {
      await trx.selectFrom('refunds').select('id').where('id', '=', refundId).forUpdate().execute();
      await untilItWaits();
      const unlocked = trx.selectFrom('payments').select('id').where('id', '=', paymentId);
      expect(await unlocked.forUpdate().skipLocked().execute()).toEqual([]);
    });
  });
});

describe('what a step reads with the locks', () => {
  it('is of after them: of two claims that waited, the second finds the attempt of the first', async () => {
    const paymentId = await ledger.payment();
    const refundId = await ledger.refund(paymentId);
    await takeLane(ledger.db, refundId, START_MS);
    const { claims } = await ledger.db.transaction().execute(async (trx) => {
      await trx.selectFrom('payments').select('id').where('id', '=', paymentId).forUpdate().execute();
      const both = Promise.all([ledger.claim(refundId, 1), ledger.claim(refundId, 1)]);
      await untilWaiting(2);
      return { claims: both };
    });
    expect((await claims).map(({ kind }) => kind).sort()).toEqual(['claimed', 'exists']);
  });
});

describe('a claim that PostgreSQL refuses', () => {
  it('writes nothing more: were the transaction over by then, that would be on its own', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    await takeLane(ledger.db, refundId, START_MS);
    const claimed = await ledger.refund(await ledger.payment());
    await ledger.submit(claimed, done());
    const [other] = await ledger.attempts(claimed);
    const sent = jest.spyOn(pg.Client.prototype, 'query');
    const idempotencyKey = other?.idempotency_key ?? '';
    await expect(ledger.claim(refundId, 1, { idempotencyKey })).rejects.toThrow('duplicate key');
    const texts = sent.mock.calls.map(([statement]: readonly unknown[]) =>
      typeof statement === 'string' ? statement : (statement as pg.QueryConfig).text,
    );
    sent.mockRestore();
    const insert = texts.findIndex((text) => text.startsWith('insert into "provider_attempts"'));
    expect(texts.slice(insert + 1)).toEqual(['rollback']);
  });
});

describe('a lane that is free', () => {
  it('is taken with the reservation, and with no second one', async () => {
    const paymentId = await ledger.payment();
    const first = await ledger.admit(paymentId, { needsLane: true });
    expect(first).toMatchObject({ kind: 'admitted', holdsLane: true });
    expect(await ledger.admit(paymentId, { needsLane: true })).toMatchObject({ holdsLane: false });
    const holder = first.kind === 'admitted' ? first.refund.id : null;
    expect(await ledger.laneHolder(paymentId)).toBe(holder);
  });

  it('is left to whoever waits for it', async () => {
    const paymentId = await ledger.payment();
    const [holder, waiting] = [await ledger.refund(paymentId), await ledger.refund(paymentId)];
    await ledger.submit(holder, done());
    await takeLane(ledger.db, waiting, START_MS);
    expect(await settleRefund(ledger.db, holder, START_MS)).toMatchObject({ wakeRefundId: waiting });

    expect(await ledger.admit(paymentId, { needsLane: true })).toMatchObject({ holdsLane: false });
    expect(await ledger.laneHolder(paymentId)).toBeNull();
  });

  it('is not taken while people are asked, nor where the provider needs none', async () => {
    const paymentId = await ledger.payment();
    const asked = { needsLane: true, approvals: 1 };
    expect(await ledger.admit(paymentId, asked)).toMatchObject({ kind: 'admitted', holdsLane: false });
    expect(await ledger.admit(paymentId)).toMatchObject({ kind: 'admitted', holdsLane: false });
    expect(await ledger.laneHolder(paymentId)).toBeNull();
  });
});
