import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { toRefundResource } from '../src/api/refund.resource.js';
import { giveUpDelivery, listDeliveries, nextDelivery, takeDueLines } from '../src/ledger/deliveries.js';
import { findRefund } from '../src/ledger/refund-reads.js';
import type { LedgerTransaction } from '../src/ledger/database.js';
import { settleRefund } from '../src/ledger/settlement.js';
import { transition } from '../src/ledger/refunds.js';
import { createEndpoint, disableEndpoint } from '../src/ledger/webhook-endpoints.js';
import { done, openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';

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
    await scene.db
      .transaction()
      .execute((trx) => disableEndpoint(trx, off, 'It answered 410 Gone.', START_MS));
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
    expect(await takeDueLines(scene.db, START_MS, 10)).toEqual([line]);
    expect(await takeDueLines(scene.db, START_MS + 59_000, 10)).toEqual([]);
    await scene.submit(id, done());
    // The older one waits for its turn, and what has come behind it waits with it.
    expect(await takeDueLines(scene.db, START_MS + 59_000, 10)).toEqual([]);
    expect(await takeDueLines(scene.db, START_MS + 120_000, 10)).toEqual([line]);

    const [first, second] = await newsFor(endpointId);
    expect(await nextDelivery(scene.db, line, START_MS)).toEqual({ deliveryId: first?.id, triedForMs: 0 });
    await giveUpDelivery(scene.db, first?.id ?? '');
    expect(await nextDelivery(scene.db, line, START_MS)).toMatchObject({ deliveryId: second?.id });
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
