import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { storeDelivery } from '../src/ledger/inbox.js';
import {
  completeReconciliation,
  findReconciliation,
  openReconciliation,
} from '../src/ledger/reconciliations.js';
import { paymentsToRead } from '../src/ledger/reconciliation-targets.js';
import { settleRefund } from '../src/ledger/settlement.js';
import { done, openLedger, shownRefund, START_MS, type LedgerScene } from './setup/ledger-scene.js';

/** After everything that these tests do beforehand. */
const LATER_MS = START_MS + 3_600_000;

let ledger: LedgerScene;
beforeAll(async () => {
  ledger = await openLedger();
});
afterAll(async () => {
  await ledger.close();
});

describe('a reconciliation', () => {
  const NOW_MS = LATER_MS + 100 * 86_400_000;
  const open = (id: string) =>
    openReconciliation(ledger.db, {
      id,
      origin: 'operator',
      requestedBy: 'olga',
      requestId: null,
      nowMs: NOW_MS,
    });

  it('is one at a time, and tells each difference once', async () => {
    const [one, other] = await Promise.all([open('rec_1'), open('rec_2')]);
    expect(one.id).toBe(other.id);
    const paymentId = await ledger.payment();
    for (let time = 1; time <= 2; time += 1) {
      await ledger.reconcile(paymentId, [shownRefund(1_000)], {
        readAtMs: LATER_MS,
        reconciliationId: one.id,
      });
    }
    await completeReconciliation(ledger.db, one.id, NOW_MS);
    const run = await findReconciliation(ledger.db, one.id);
    expect(run).toMatchObject({ status: 'completed', requested_by: 'olga' });
    expect(run?.report.found).toMatchObject({ external: 1, reversed: 0 });
    expect(run?.report.differences).toMatchObject([{ kind: 'external', paymentId, refundId: null }]);
    expect((await open('rec_3')).id).toBe('rec_3');
  });

  it('reads what is open, ended lately, doubted, or named by a webhook that nobody followed; page by page', async () => {
    const quiet = await ledger.payment({ provider: 'pagou' });
    const opened = await ledger.payment({ provider: 'pagou' });
    await ledger.refund(opened, { nowMs: START_MS });
    const ended = await ledger.payment({ provider: 'pagou' });
    const refundId = await ledger.refund(ended);
    await ledger.submit(refundId, done());
    await settleRefund(ledger.db, refundId, START_MS + 2_000);
    const named = await ledger.payment({ provider: 'pagou' });
    const { provider_payment_id: providerPaymentId } = await ledger.paymentRow(named);
    const rawBody = Buffer.from(named);
    await storeDelivery(ledger.db, { provider: 'pagou', rawBody, providerPaymentId }, START_MS);

    const targets = async (nowMs: number, after = '', limit = 10, pass: 'all' | 'doubtful' = 'all') =>
      paymentsToRead(ledger.db, { provider: 'pagou', pass, after, limit, nowMs });
    const soon = [opened, ended, named].sort();
    expect(await targets(LATER_MS)).toEqual(soon);
    expect(await targets(LATER_MS, '', 2)).toEqual(soon.slice(0, 2));
    expect(await targets(LATER_MS, soon[1])).toEqual(soon.slice(2));
    expect(await targets(LATER_MS)).not.toContain(quiet);
    expect(await targets(NOW_MS)).toEqual([opened, named].sort());
    expect(await targets(NOW_MS, '', 10, 'doubtful')).toEqual([]);

    await ledger.reconcile(ended, [], { readAtMs: LATER_MS });
    expect(await targets(NOW_MS)).toContain(ended);
    expect(await targets(NOW_MS, '', 10, 'doubtful')).toEqual([ended]);
    await ledger.reconcile(ended, [shownRefund(1_000)], { readAtMs: LATER_MS + 1 });
    expect(await targets(NOW_MS, '', 10, 'doubtful')).toEqual([]);
    expect(await ledger.refundRow(refundId)).toMatchObject({ status: 'succeeded' });

    await ledger.reconcile(named, [], { readAtMs: LATER_MS });
    expect(await targets(NOW_MS)).toEqual([opened]);
  });
});
