import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { toRefundResource } from '../src/api/refund.resource.js';
import {
  findDelivery,
  findOutgoing,
  listDeliveries,
  nextDelivery,
  recordDelivered,
  recordMissed,
  resendDelivery,
  takeDueLines,
} from '../src/ledger/deliveries.js';
import { forgetOldNews } from '../src/ledger/old-news.js';
import { noteNews } from '../src/ledger/outbox.js';
import { findRefund } from '../src/ledger/refund-reads.js';
import type { LedgerTransaction } from '../src/ledger/database.js';
import { settleRefund } from '../src/ledger/settlement.js';
import { transition } from '../src/ledger/refunds.js';
import {
  cancelForDisabled,
  createEndpoint,
  deleteEndpoint,
  disableEndpoint,
  enableEndpoint,
} from '../src/ledger/webhook-endpoints.js';
import { done, openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let scene: LedgerScene;
let made = 0;
beforeAll(async () => {
  scene = await openLedger();
});
afterAll(() => scene.close());

afterEach(async () => {
  await scene.db.deleteFrom('webhook_endpoints').execute();
});

async function endpoint(types: readonly string[] | null = null): Promise<string> {
  made += 1;
  const id = `whe_${made}`;
  const url = 'https://shop.example/in';
  await createEndpoint(scene.db, { id, url, types, sealedSecret: 'k.s', actor: 'olga', nowMs: START_MS });
  return id;
}

function attempt(deliveryId: string | undefined, atMs: number) {
  const outcome = { httpStatus: 500, error: 'HTTP_500' };
  return { deliveryId: deliveryId ?? '', ...outcome, startedAtMs: atMs, nowMs: atMs };
}

async function cancel(trx: LedgerTransaction, id: string): Promise<void> {
  const event = { type: 'refund_canceled', data: {} };
  const refund = await scene.refundRow(id);
  await transition(trx, refund, { status: 'canceled' }, event, START_MS + 1, { money: 'released' });
}

async function succeeded(paymentId: string): Promise<string> {
  const id = await scene.refund(paymentId);
  await scene.submit(id, done());
  await settleRefund(scene.db, id, START_MS + 2_000);
  return id;
}

/** What waits for an endpoint, oldest first. */
async function newsFor(endpointId: string) {
  const rows = await scene.db
    .selectFrom('webhook_deliveries as delivery')
    .innerJoin('webhook_messages as message', 'message.id', 'delivery.message_id')
    .select(['delivery.id', 'message.id as messageId', 'type', 'version', 'refund_id', 'body', 'status'])
    .where('endpoint_id', '=', endpointId)
    .orderBy('delivery.sequence')
    .execute();
  return rows.map((row) => ({ ...row, body: JSON.parse(row.body) as { data: Record<string, unknown> } }));
}

async function countMessages(): Promise<number> {
  const { count } = await scene.db
    .selectFrom('webhook_messages')
    .select((of) => of.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

describe('news of a refund in the ledger', () => {
  it('is not written where nobody wants it', async () => {
    const before = await countMessages();
    await succeeded(await scene.payment());
    expect(await countMessages()).toBe(before);
  });

  it('is written with each transition, as the API shows the refund then, with a version that only grows', async () => {
    const endpointId = await endpoint();
    const id = await scene.refund(await scene.payment(), { approvals: 1 });
    const first = await findRefund(scene.db, id);
    await scene.db.transaction().execute((trx) => cancel(trx, id));
    const last = await findRefund(scene.db, id);
    const news = await newsFor(endpointId);
    expect(news.map(({ type, version }) => [type, version])).toEqual([
      ['refund.created', 1],
      ['refund.approval_required', 1],
      ['refund.canceled', 2],
    ]);
    expect(news[0]?.body).toEqual({
      type: 'refund.created',
      timestamp: new Date(START_MS).toISOString(),
      data: first && toRefundResource(first),
    });
    expect(news[2]?.body.data).toEqual(last && toRefundResource(last));
  });

  it('is gone with a transition that is rolled back', async () => {
    const endpointId = await endpoint();
    const id = await scene.refund(await scene.payment());
    const before = [await newsFor(endpointId), await countMessages()];
    const rolledBack = scene.db.transaction().execute(async (trx) => {
      await cancel(trx, id);
      throw new Error('something else failed');
    });
    await expect(rolledBack).rejects.toThrow('something else failed');
    expect((await scene.refundRow(id)).status).toBe('pending');
    expect([await newsFor(endpointId), await countMessages()]).toEqual(before);
  });

  it('goes to every endpoint that wants the type, under one message id, and to none that is disabled', async () => {
    const [all, some, none, off] = [
      await endpoint(),
      await endpoint(['refund.succeeded']),
      await endpoint(['refund.failed']),
      await endpoint(),
    ];
    await disableEndpoint(scene.db, off, 'It answered 410 Gone.', START_MS);
    await succeeded(await scene.payment());
    const [toAll, toSome] = [await newsFor(all), await newsFor(some)];
    expect(toAll.at(-1)).toMatchObject({ type: 'refund.succeeded' });
    expect(toSome.map(({ type }) => type)).toEqual(['refund.succeeded']);
    expect(toSome[0]?.messageId).toBe(toAll.at(-1)?.messageId);
    expect([await newsFor(none), await newsFor(off)]).toEqual([[], []]);
  });

  it('of transitions side by side is in the order of the versions', async () => {
    const endpointId = await endpoint();
    const payments = await Promise.all(Array.from({ length: 6 }, () => scene.payment()));
    const refundIds = await Promise.all(payments.map(succeeded));
    const news = await newsFor(endpointId);
    for (const id of refundIds) {
      const versions = news.filter(({ refund_id: of }) => of === id).map(({ version }) => version);
      expect(versions).toEqual(versions.map((_, at) => at + 1));
      expect(versions.length).toBeGreaterThan(2);
    }
  });

  it('is offered once to whoever starts deliveries, again after a minute in vain, and never past an older one', async () => {
    const endpointId = await endpoint();
    const id = await scene.refund(await scene.payment());
    const line = { endpointId, subject: id };
    const offered = { ...line, endsPause: false };
    expect(await takeDueLines(scene.db, START_MS, 10)).toEqual([offered]);
    expect(await takeDueLines(scene.db, START_MS + 59_000, 10)).toEqual([]);
    await scene.submit(id, done());
    // The older one waits for its turn, and what has come behind it waits with it.
    expect(await takeDueLines(scene.db, START_MS + 59_000, 10)).toEqual([]);
    expect(await takeDueLines(scene.db, START_MS + 120_000, 10)).toEqual([offered]);

    const [first, second] = await newsFor(endpointId);
    expect(await nextDelivery(scene.db, line)).toEqual({ deliveryId: first?.id });
    await recordDelivered(scene.db, attempt(first?.id, START_MS));
    expect(await nextDelivery(scene.db, line)).toEqual({ deliveryId: second?.id });
  });

  it('that has come behind a paused message is not offered before that one is, however long the pause', async () => {
    const endpointId = await endpoint();
    const id = await scene.refund(await scene.payment());
    const offered = { endpointId, subject: id, endsPause: false };
    const [first] = await newsFor(endpointId);
    await recordMissed(scene.db, attempt(first?.id, START_MS), () => HOUR_MS);
    await scene.submit(id, done());
    for (const afterMs of [1_000, 70_000, HOUR_MS]) {
      expect(await takeDueLines(scene.db, START_MS + afterMs, 10)).toEqual([]);
    }
    // It was looked at once in that hour, and not once a minute.
    const waiting = await scene.db.selectFrom('webhook_deliveries').select('start_after').execute();
    expect(new Set(waiting.map(({ start_after: at }) => at.getTime())).size).toBe(1);
    expect(await takeDueLines(scene.db, START_MS + HOUR_MS + 60_000, 10)).toEqual([offered]);
  });

  it('ends a pause where it was asked for by hand, and nowhere else', async () => {
    const endpointId = await endpoint();
    const id = await scene.refund(await scene.payment());
    const line = { endpointId, subject: id };
    const [first] = await newsFor(endpointId);
    await recordMissed(scene.db, attempt(first?.id, START_MS), () => HOUR_MS);
    await resendDelivery(scene.db, endpointId, first?.id ?? '', START_MS + 5_000);
    expect(await takeDueLines(scene.db, START_MS + 6_000, 10)).toEqual([{ ...line, endsPause: true }]);
    expect(await takeDueLines(scene.db, START_MS + 66_000, 10)).toEqual([{ ...line, endsPause: false }]);
  });

  it('is tried for three days from its first attempt on, and never given up without one', async () => {
    const endpointId = await endpoint();
    await scene.refund(await scene.payment());
    const [first] = await newsFor(endpointId);
    const shown = () => findDelivery(scene.db, endpointId, first?.id ?? '');
    // Everything was down for a week.
    const beginMs = START_MS + 7 * DAY_MS;
    const miss = (atMs: number) => recordMissed(scene.db, attempt(first?.id, atMs), () => HOUR_MS);
    expect(await miss(beginMs)).toEqual({ kind: 'again', pauseMs: HOUR_MS });
    expect(await miss(beginMs + 3 * DAY_MS - HOUR_MS)).toMatchObject({ kind: 'again' });
    expect(await miss(beginMs + 3 * DAY_MS - HOUR_MS + 1)).toEqual({ kind: 'givenUp' });
    expect(await shown()).toMatchObject({ status: 'failed', attempts: 3, next_attempt_at: null });
    // By hand it begins anew.
    await resendDelivery(scene.db, endpointId, first?.id ?? '', beginMs + 9 * DAY_MS);
    const tried: number[] = [];
    await recordMissed(scene.db, attempt(first?.id, beginMs + 9 * DAY_MS), (triedForMs) => {
      tried.push(triedForMs);
      return 8_000;
    });
    expect(tried).toEqual([0]);
    expect(await shown()).toMatchObject({ status: 'pending', attempts: 4 });
  });

  it('goes to an endpoint again that was enabled, and what was canceled stays so', async () => {
    const endpointId = await endpoint();
    await scene.refund(await scene.payment());
    await disableEndpoint(scene.db, endpointId, 'It answered 410 Gone.', START_MS);
    const [waiting] = await newsFor(endpointId);
    expect(await findOutgoing(scene.db, waiting?.id ?? '')).toBeNull();
    await cancelForDisabled(scene.db);
    await scene.refund(await scene.payment());
    expect(await enableEndpoint(scene.db, endpointId, START_MS)).toMatchObject({
      status: 'active',
      disabled_reason: null,
    });
    await scene.refund(await scene.payment());
    expect((await newsFor(endpointId)).map(({ status }) => status)).toEqual(['canceled', 'pending']);
    expect(await enableEndpoint(scene.db, 'whe_none', START_MS)).toBeNull();
  });

  it('never makes a refund wait for whoever changes or disables an endpoint', async () => {
    const endpointId = await endpoint();
    const id = await scene.refund(await scene.payment());
    await scene.db.transaction().execute(async (trx) => {
      await disableEndpoint(trx, endpointId, 'It answered 410 Gone.', START_MS);
      // With that change still open, and for as long as it likes.
      await scene.submit(id, done());
      await settleRefund(scene.db, id, START_MS + 2_000);
    });
    expect((await scene.refundRow(id)).status).toBe('succeeded');
  });

  it('is recorded, disabled and deleted side by side without anybody being turned away', async () => {
    const refundIds = await Promise.all(
      Array.from({ length: 12 }, async () => scene.refund(await scene.payment(), { approvals: 1 })),
    );
    for (let round = 0; round < 10; round += 1) {
      const endpointId = await endpoint();
      const types = ['refund.created', 'refund.updated', 'refund.failed'] as const;
      for (const id of refundIds) {
        await scene.db.deleteFrom('webhook_messages').where('refund_id', '=', id).execute();
        await scene.db.transaction().execute((trx) => noteNews(trx, id, types, START_MS));
      }
      const news = await newsFor(endpointId);
      expect(news).toHaveLength(3 * refundIds.length);
      const disable = async () => {
        await disableEndpoint(scene.db, endpointId, 'x', START_MS);
        await cancelForDisabled(scene.db);
      };
      await Promise.all([
        ...news
          .filter(({ type }) => type !== 'refund.created')
          .map(({ id }) => recordMissed(scene.db, attempt(id, START_MS), () => 8_000)),
        takeDueLines(scene.db, START_MS + HOUR_MS, 100),
        round % 2 === 0 ? deleteEndpoint(scene.db, endpointId, START_MS) : disable(),
        forgetOldNews(scene.db, START_MS + 90 * DAY_MS, 100),
      ]);
      await deleteEndpoint(scene.db, endpointId, START_MS);
    }
  });

  it('is forgotten after 30 days, and never while it waits', async () => {
    const endpointId = await endpoint();
    await succeeded(await scene.payment());
    const news = await newsFor(endpointId);
    const [first, ...others] = news;
    for (const { id } of others) await recordDelivered(scene.db, attempt(id, START_MS));
    await forgetOldNews(scene.db, START_MS + 29 * DAY_MS, 100);
    expect(await newsFor(endpointId)).toEqual(
      news.map((one) => ({ ...one, status: one === first ? 'pending' : 'delivered' })),
    );
    const laterMs = START_MS + 31 * DAY_MS;
    expect(await forgetOldNews(scene.db, laterMs, 1)).toBe(true);
    while (await forgetOldNews(scene.db, laterMs, 1)) continue;
    expect(await newsFor(endpointId)).toEqual([first]);
    expect(await countMessages()).toBe(1);
  });

  it('is listed newest first, a page at a time', async () => {
    const endpointId = await endpoint();
    for (let count = 0; count < 3; count += 1) await scene.refund(await scene.payment());
    const ids = (await newsFor(endpointId)).map(({ id }) => id).reverse();
    const page = async (cursor: { side: 'after' | 'before'; id: string } | null) =>
      (await listDeliveries(scene.db, endpointId, { limit: 2, cursor }))?.items.map(({ id }) => id);
    expect(await page(null)).toEqual(ids.slice(0, 2));
    expect(await page({ side: 'after', id: ids[1] ?? '' })).toEqual(ids.slice(2));
    expect(await page({ side: 'before', id: ids[2] ?? '' })).toEqual(ids.slice(0, 2));
    expect(await page({ side: 'after', id: 'whd_of_another' })).toBeUndefined();
  });
});
