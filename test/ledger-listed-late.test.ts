import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { takeLane } from '../src/ledger/lanes.js';
import { settleRefund } from '../src/ledger/settlement.js';
import { forgetWithBooks } from './setup/books.js';
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
} from './setup/ledger-scene.js';

/** The call can no longer be under way, and what it did must be listed, from then on. */
const QUIET_ENDS_MS = START_MS + 2_000 + TIMEOUT_MS + QUIET_MS;

let ledger: LedgerScene;
beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(() => forgetWithBooks(ledger));
afterAll(() => ledger.close());

describe('what the provider lists late', () => {
  it('keeps a refusal that may be ours open until absence is proven', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    await ledger.submit(refundId, declined(true));
    expect(await ledger.look(refundId, [])).toMatchObject({ kind: 'absent', proven: false });
    expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion: null }]);
    expect(await ledger.proveAbsent(refundId)).toEqual({ kind: 'rejected' });
    expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion: 'declined' }]);
  });

  it('is no proof while another’s rejected entry of the amount is listed first', async () => {
    const refundId = await ledger.refund(await ledger.payment());
    await ledger.submit(refundId, accepted());
    const theirs = [shownRefund(1_000, 'rejected')];
    expect(await ledger.look(refundId, theirs)).toEqual({ kind: 'processing' });
    expect(await ledger.attempts(refundId)).toMatchObject([{ conclusion: null, matched_by: null }]);
    // Ours, at last, beside theirs.
    const both = [...theirs, shownRefund(1_000, 'succeeded')];
    expect(await ledger.look(refundId, both, { nowMs: QUIET_ENDS_MS })).toMatchObject({ kind: 'cannotTell' });
  });

  it('as rejected is believed once the quiet time is over, and at once by its id', async () => {
    const [nameless, named] = [await ledger.payment(), await ledger.payment()];
    const refundId = await ledger.refund(nameless);
    await ledger.submit(refundId, accepted());
    const rejected = [shownRefund(1_000, 'rejected')];
    expect(await ledger.look(refundId, rejected, { nowMs: QUIET_ENDS_MS })).toEqual({ kind: 'rejected' });

    const byId = await ledger.refund(named);
    await ledger.submit(byId, accepted('re_1'));
    expect(await ledger.look(byId, [shownRefund(1_000, 'rejected', 're_1')])).toEqual({ kind: 'rejected' });
  });

  it('with the id of a declined attempt of ours is no candidate for another', async () => {
    const paymentId = await ledger.payment();
    const first = await ledger.refund(paymentId);
    await ledger.submit(first, accepted('re_1'));
    expect(await ledger.look(first, [shownRefund(1_000, 'rejected', 're_1')])).toEqual({ kind: 'rejected' });
    await ledger.db.deleteFrom('lanes').execute();

    const second = await ledger.refund(paymentId);
    await ledger.submit(second, unknown());
    const shown = [shownRefund(1_000, 'rejected', 're_1'), shownRefund(1_000, 'succeeded', 're_2')];
    expect(await ledger.look(second, shown)).toEqual({ kind: 'landed' });
    expect(await ledger.attempts(second)).toMatchObject([{ provider_refund_id: 're_2' }]);
  });

  it('in a total holds what has an id too: one entry never settles two refunds', async () => {
    const paymentId = await ledger.payment();
    const unclear = await ledger.refund(paymentId);
    const other = await ledger.refund(paymentId);
    await ledger.submit(unclear, unknown(), { needsLane: false });
    await ledger.claim(other, 1, { needsLane: false });
    await ledger.answer(other, 1, done('re_other'));
    await settleRefund(ledger.db, other, START_MS + 2_000);

    const total = reading([], START_MS + 5_000, { totalOnlyMinor: 1_000 });
    expect(await ledger.look(unclear, [], { reading: total })).toMatchObject({ kind: 'absent' });
    await takeLane(ledger.db, unclear, START_MS);
  });
});
