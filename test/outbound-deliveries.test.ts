import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { pingEndpoint, resendDelivery, type DeliveryStatus } from '../src/ledger/deliveries.js';
import { settleRefund } from '../src/ledger/settlement.js';
import { deleteEndpoint, findEndpoint, rotateSecret } from '../src/ledger/webhook-endpoints.js';
import { deliverNowSignal, deliveryWorkflowId } from '../workflows/delivery-messages.js';
import { REFUND_TASK_QUEUE } from '../workflows/messages.js';
import { eventually } from './setup/eventually.js';
import { done, openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';
import { newSecret, openOutboundStage, seal, type OutboundStage } from './setup/outbound-stage.js';
import { gate } from './setup/workflow-stage.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let scene: LedgerScene;
let stage: OutboundStage;

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  scene = await openLedger();
  stage = await openOutboundStage(scene.db);
}, 60_000);
afterAll(async () => {
  await stage.close();
  await scene.close();
});

/** Oldest message first. */
async function deliveries(endpointId: string) {
  return scene.db
    .selectFrom('webhook_deliveries as delivery')
    .innerJoin('webhook_messages as message', 'message.id', 'delivery.message_id')
    .selectAll('delivery')
    .select(['type', 'version'])
    .where('endpoint_id', '=', endpointId)
    .orderBy('delivery.sequence')
    .execute();
}

function whenAll(endpointId: string, status: DeliveryStatus, atLeast = 1) {
  return eventually(
    () => deliveries(endpointId),
    (rows) => rows.length >= atLeast && rows.every((row) => row.status === status),
    60_000,
  );
}

async function succeededRefund(): Promise<string> {
  const id = await scene.refund(await scene.payment());
  await scene.submit(id, done());
  await settleRefund(scene.db, id, START_MS + 2_000);
  return id;
}

/** Runs with an endpoint that is gone afterwards. */
async function withEndpoint(
  answer: Parameters<OutboundStage['endpoint']>[1],
  run: (endpoint: Awaited<ReturnType<OutboundStage['endpoint']>>) => Promise<void>,
): Promise<void> {
  const endpoint = await stage.endpoint(scene.db, answer);
  try {
    await run(endpoint);
  } finally {
    await deleteEndpoint(scene.db, endpoint.id, Date.now());
  }
}

describe('outbound webhooks', () => {
  it("reach their endpoint signed, in the order of the refund's versions, and their workflow ends", async () => {
    await withEndpoint(undefined, async ({ id, secret, received }) => {
      const refundId = await succeededRefund();
      await stage.start(scene.db);
      const rows = await whenAll(id, 'delivered', 2);
      expect(received.map(({ type }) => type)).toEqual(rows.map(({ type }) => type));
      expect(received[0]?.type).toBe('refund.created');
      expect(received.at(-1)?.type).toBe('refund.succeeded');
      const versions = received.map(({ version }) => version);
      expect(versions).toEqual([...versions].sort());
      for (const { headers, text } of received) {
        expect(new Webhook(secret).verify(text, headers)).toMatchObject({ data: { id: refundId } });
      }
      expect(received.map(({ headers }) => headers['webhook-id'])).toEqual(rows.map((row) => row.message_id));
      expect(rows[0]).toMatchObject({
        attempts: 1,
        last_status: 204,
        last_error: null,
        next_attempt_at: null,
      });
      const workflowId = deliveryWorkflowId({ endpointId: id, subject: refundId });
      await stage.client.workflow.getHandle(workflowId).result();
    });
  });

  it('come again under the same id after a failure, and later versions wait for the earlier one', async () => {
    const fails = [503, 302, 500];
    await withEndpoint(
      () => fails.shift() ?? 200,
      async ({ id, received }) => {
        await succeededRefund();
        await stage.start(scene.db, stage.skippingClient);
        const rows = await whenAll(id, 'delivered', 2);
        expect(rows[0]).toMatchObject({ attempts: 4 });
        const firsts = received.slice(0, 4);
        expect(new Set(firsts.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
        expect(new Set(firsts.map(({ text }) => text)).size).toBe(1);
        const versions = received.map(({ version }) => version);
        expect(versions).toEqual([...versions].sort());
        expect(received.at(-1)?.type).toBe('refund.succeeded');
      },
    );
  });

  it('are tried again within 10 s in real time', async () => {
    await withEndpoint(
      (_, all) => (all.length === 1 ? 500 : 200),
      async ({ id, received }) => {
        await scene.refund(await scene.payment());
        await stage.start(scene.db);
        const [missed] = await eventually(
          () => deliveries(id),
          ([row]) => row?.last_status === 500,
        );
        expect(missed).toMatchObject({ status: 'pending', last_error: 'HTTP_500', attempts: 1 });
        expect(missed?.next_attempt_at).not.toBeNull();
        await whenAll(id, 'delivered');
        const [first, second] = received;
        const pauseMs = (second?.atMs ?? 0) - (first?.atMs ?? 0);
        expect(pauseMs).toBeGreaterThan(5_000);
        expect(pauseMs).toBeLessThan(10_000);
      },
    );
  });

  it('come again under the same id when somebody asks for it, also one that waits for its next attempt', async () => {
    await withEndpoint(
      (_, all) => (all.length === 2 ? 500 : 200),
      async ({ id, received }) => {
        await scene.refund(await scene.payment());
        await stage.start(scene.db);
        const [row] = await whenAll(id, 'delivered');
        const deliveryId = row?.id ?? '';
        // Its run would take what is sent again along by itself.
        const workflowId = deliveryWorkflowId({ endpointId: id, subject: row?.subject ?? '' });
        await stage.client.workflow.getHandle(workflowId).result();
        expect(await resendDelivery(scene.db, id, deliveryId, Date.now())).toMatchObject({ kind: 'ordered' });
        await stage.start(scene.db);
        await eventually(
          () => deliveries(id),
          ([again]) => again?.last_status === 500,
        );
        const askedMs = Date.now();
        await resendDelivery(scene.db, id, deliveryId, Date.now());
        await stage.start(scene.db);
        await whenAll(id, 'delivered');
        expect(Date.now() - askedMs).toBeLessThan(5_000);
        expect(received).toHaveLength(3);
        expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
        expect(await resendDelivery(scene.db, 'whe_other', deliveryId, Date.now())).toBeNull();
      },
    );
  });

  it('are signed with two secrets while the older one ends, and with the newer one alone after that', async () => {
    await withEndpoint(undefined, async ({ id, secret, received }) => {
      const rotate = (next: string, overlapMs: number) =>
        rotateSecret(scene.db, id, { sealedSecret: seal(next), overlapMs, nowMs: Date.now() });
      await rotate(newSecret(201), DAY_MS);
      await pingEndpoint(scene.db, id, Date.now());
      await stage.start(scene.db);
      await whenAll(id, 'delivered');
      for (const good of [secret, newSecret(201)]) {
        expect(new Webhook(good).verify(received[0]?.text ?? '', received[0]?.headers ?? {})).toMatchObject({
          type: 'webhook.ping',
          data: { id },
        });
      }
      await rotate(newSecret(202), 0);
      await pingEndpoint(scene.db, id, Date.now());
      await stage.start(scene.db);
      await whenAll(id, 'delivered', 2);
      const verify = (with_: string) =>
        new Webhook(with_).verify(received[1]?.text ?? '', received[1]?.headers ?? {});
      expect(verify(newSecret(202))).toBeDefined();
      expect(() => verify(newSecret(201))).toThrow();
      expect(() => verify(secret)).toThrow();
    });
  });

  it('stop for good at 410: the endpoint is disabled, and what waited for it is canceled', async () => {
    await withEndpoint(
      () => 410,
      async ({ id, received }) => {
        await succeededRefund();
        await stage.start(scene.db);
        await eventually(
          () => deliveries(id),
          (rows) => rows.every((row) => row.status !== 'pending'),
        );
        const [first, ...later] = await deliveries(id);
        expect(first).toMatchObject({ status: 'failed', last_status: 410 });
        expect(new Set(later.map(({ status }) => status))).toEqual(new Set(['canceled']));
        expect(received).toHaveLength(1);
        expect(await findEndpoint(scene.db, id)).toMatchObject({
          status: 'disabled',
          disabled_reason: 'It answered 410 Gone.',
        });
        const known = (await deliveries(id)).length;
        await succeededRefund();
        expect(await deliveries(id)).toHaveLength(known);
        expect(await pingEndpoint(scene.db, id, Date.now())).toEqual({ kind: 'disabled' });
        expect(await resendDelivery(scene.db, id, first?.id ?? '', Date.now())).toEqual({ kind: 'disabled' });
      },
    );
  });

  it('are given up after three days, and the next version goes on', async () => {
    await withEndpoint(
      ({ type }) => {
        stage.clock.aheadMs += type === 'refund.created' ? HOUR_MS : 0;
        return type === 'refund.created' ? 500 : 200;
      },
      async ({ id, received }) => {
        const refundId = await succeededRefund();
        await stage.start(scene.db, stage.skippingClient);
        await eventually(
          () => deliveries(id),
          (rows) => rows.every((row) => row.status !== 'pending'),
          60_000,
        );
        const [first, ...later] = await deliveries(id);
        expect(first).toMatchObject({ type: 'refund.created', status: 'failed', last_error: 'HTTP_500' });
        expect(first?.attempts).toBeGreaterThan(70);
        expect(first?.attempts).toBeLessThan(120);
        expect(later.map(({ status }) => status)).toEqual(later.map(() => 'delivered'));
        expect(received.at(-1)?.type).toBe('refund.succeeded');
        const workflowId = deliveryWorkflowId({ endpointId: id, subject: refundId });
        await stage.client.workflow.getHandle(workflowId).result();
        stage.clock.aheadMs = 0;
      },
    );
  }, 90_000);

  it('go on by themselves, where they were, when their workflow is gone', async () => {
    await withEndpoint(
      (_, all) => (all.length === 1 ? 500 : 200),
      async ({ id, received }) => {
        const refundId = await succeededRefund();
        await stage.start(scene.db);
        await eventually(
          () => deliveries(id),
          ([row]) => row?.last_status === 500,
        );
        const workflowId = deliveryWorkflowId({ endpointId: id, subject: refundId });
        await stage.client.workflow.getHandle(workflowId).terminate();
        stage.clock.aheadMs = HOUR_MS;
        await stage.start(scene.db);
        stage.clock.aheadMs = 0;
        await whenAll(id, 'delivered', 2);
        expect(received[1]?.text).toBe(received[0]?.text);
      },
    );
  });

  it('are not begun by what somebody starts by hand', async () => {
    const line = { endpointId: 'whe_x', subject: 'rfd_x' };
    const starts: [string, unknown[]][] = [
      ['delivery/whe_x/rfd_x', [{ body: {} }]],
      ['delivery/whe_x/rfd_x', [null]],
      ['delivery/whe_x/rfd_x', []],
      ['delivery/whe_x/rfd_x', [{ body: { endpointId: ['whe_x'], subject: 'rfd_x' } }]],
      ['delivery/whe_x/rfd_other', [{ body: line }]],
    ];
    for (const [workflowId, args] of starts) {
      const run = await stage.client.workflow.start('delivery', {
        ...{ workflowId, args, taskQueue: REFUND_TASK_QUEUE },
      });
      await expect(run.result()).rejects.toMatchObject({ cause: { type: 'ForeignWorkflowId' } });
    }
  });

  it('of hundreds to one that never answers hold up nobody else', async () => {
    const never = gate();
    await withEndpoint(
      async () => {
        await never.opened;
        return 200;
      },
      async (hanging) => {
        await Promise.all(Array.from({ length: 210 }, () => pingEndpoint(scene.db, hanging.id, Date.now())));
        await stage.start(scene.db);
        await eventually(
          async () => hanging.received.length,
          (count) => count >= 50,
        );
        await withEndpoint(undefined, async (quick) => {
          await succeededRefund();
          await stage.start(scene.db);
          await whenAll(quick.id, 'delivered', 2);
        });
        // All places of the worker would be taken by them.
        expect(hanging.received.length).toBeLessThanOrEqual(60);
        never.open();
      },
    );
  }, 60_000);

  it('whose secret can not be read are not sent, and say so', async () => {
    await withEndpoint(undefined, async ({ id, received }) => {
      const rotation = { sealedSecret: 'unreadable', overlapMs: 0, nowMs: Date.now() };
      await rotateSecret(scene.db, id, rotation);
      await pingEndpoint(scene.db, id, Date.now());
      await stage.start(scene.db);
      const [row] = await eventually(
        () => deliveries(id),
        ([one]) => one?.last_error !== null,
      );
      expect(row).toMatchObject({ status: 'pending', last_error: 'SECRET_UNREADABLE', last_status: null });
      expect(received).toEqual([]);
    });
  });

  it('do not hold up those of another endpoint or another refund', async () => {
    const slow = gate();
    await withEndpoint(
      async () => {
        await slow.opened;
        return 200;
      },
      async (stuck) => {
        await withEndpoint(undefined, async (quick) => {
          await Promise.all([succeededRefund(), succeededRefund()]);
          await stage.start(scene.db);
          await whenAll(quick.id, 'delivered', 4);
          expect(stuck.received.map(({ type }) => type)).toEqual(['refund.created', 'refund.created']);
          slow.open();
        });
      },
    );
  });

  it('end with their endpoint', async () => {
    await withEndpoint(
      () => 500,
      async ({ id, received }) => {
        const refundId = await scene.refund(await scene.payment());
        await stage.start(scene.db);
        await eventually(
          () => deliveries(id),
          ([row]) => row?.last_status === 500,
        );
        await deleteEndpoint(scene.db, id, Date.now());
        const run = stage.client.workflow.getHandle(
          deliveryWorkflowId({ endpointId: id, subject: refundId }),
        );
        await run.signal(deliverNowSignal, { body: { endsPause: true } });
        await run.result();
        expect(received).toHaveLength(1);
      },
    );
  });
});
