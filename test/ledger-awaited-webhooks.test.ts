import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { recordAnswer } from '../src/ledger/answers.js';
import { createAwaitedWebhooks } from '../src/ledger/awaited-webhooks.js';
import { openDatabase } from '../src/ledger/database.js';
import { concernedBy, hasUnmatchedDeliveries, storeDelivery } from '../src/ledger/inbox.js';
import { takeLane } from '../src/ledger/lanes.js';
import { forgetWithBooks } from './setup/books.js';
import { accepted, openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';

const LONG_MS = 10_000;
const SHORT_MS = 60;
const WATCHED_MS = 2_500;

let ledger: LedgerScene;
beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(() => forgetWithBooks(ledger));
afterAll(() => ledger.close());

describe('whoever waits beside a call for its confirmation', () => {
  it('hears of a delivery that names the payment, which is followed by that', async () => {
    const { named, told, atProvider } = await watching();
    const heard = named(LONG_MS);
    await told();
    expect(await heard).toBe(true);
    expect(await hasUnmatchedDeliveries(ledger.db, atProvider)).toBe(false);
  });

  it('hears of one that came before the wait, and each of several hears of its own', async () => {
    const [early, late] = [await watching(), await watching()];
    await early.told();
    const both = [early.named(LONG_MS), late.named(LONG_MS)];
    await late.told();
    expect(await Promise.all(both)).toEqual([true, true]);
  });

  it('is not told of another payment’s', async () => {
    const [ours, theirs] = [await watching(), await watching()];
    await theirs.told();
    expect(await ours.named(SHORT_MS)).toBe(false);
    expect(await hasUnmatchedDeliveries(ledger.db, theirs.atProvider)).toBe(true);
  });

  it('hears of one that was found while its time ran out', async () => {
    const { named, told } = await watching();
    await told();
    const { heard } = await ledger.db.transaction().execute(async (trx) => {
      await trx.selectFrom('webhook_inbox').select('digest').forUpdate().execute();
      const asked = named(SHORT_MS);
      await new Promise((resolve) => setTimeout(resolve, 2 * SHORT_MS));
      return { heard: asked };
    });
    expect(await heard).toBe(true);
  });

  it('waits to the end while the ledger is away, and fails nobody', async () => {
    const away = openDatabase('postgres://nobody:wrong@127.0.0.1:1/nothing');
    const webhooks = createAwaitedWebhooks(away, () => START_MS);
    expect(await webhooks.named({ provider: 'efi', providerPaymentId: 'x' }, SHORT_MS)).toBe(false);
    await away.destroy();
  });
});

describe('a delivery wakes the refund’s process or its watcher, and never nobody', () => {
  it('while it is watched, its process is left alone', async () => {
    const { concerned } = await watching();
    expect(await concerned(START_MS)).toMatchObject({ isWatched: true, attemptIsOpen: true });
  });

  it('wakes the process once the watch should be over, though its worker died', async () => {
    const { concerned } = await watching();
    expect(await concerned(START_MS + WATCHED_MS)).toMatchObject({ isWatched: false });
  });

  it('that came during the watch and was not heard is told at its end, and those after it wake the process', async () => {
    const { told, endWatch, concerned } = await watching();
    await told();
    expect(await endWatch()).toBe(true);
    expect(await concerned(START_MS)).toMatchObject({ isWatched: false });
    expect(await endWatch()).toBe(false);
  });
});

/** A refund whose call was accepted, with its worker still listening. */
async function watching() {
  const paymentId = await ledger.payment();
  const refundId = await ledger.refund(paymentId);
  await takeLane(ledger.db, refundId, START_MS);
  await ledger.claim(refundId, 1);
  await recordAnswer(ledger.db, {
    ...{ refundId, number: 1, outcome: accepted() },
    ...{ nowMs: START_MS, watchedUntilMs: START_MS + WATCHED_MS },
  });
  const { provider, provider_payment_id: providerPaymentId } = await ledger.paymentRow(paymentId);
  const atProvider = { provider, providerPaymentId };
  const webhooks = createAwaitedWebhooks(ledger.db, () => START_MS);
  return {
    atProvider,
    named: (withinMs: number) => webhooks.named(atProvider, withinMs),
    endWatch: () => webhooks.endWatch({ refund_id: refundId, number: 1 }, atProvider),
    told: () => storeDelivery(ledger.db, { ...atProvider, rawBody: Buffer.from(refundId) }, START_MS),
    concerned: (nowMs: number) => concernedBy(ledger.db, provider, providerPaymentId, nowMs),
  };
}
