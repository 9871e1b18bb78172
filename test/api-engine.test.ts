import { randomUUID } from 'node:crypto';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { RefundStart } from '../activities/interface.js';
import { Problem } from '../src/api/problem.js';
import { createRefundEngine, EngineFailure, type RefundEngine } from '../src/api/refund-engine.js';
import { isProven } from '../src/signing/proof.js';
import { REFUND_TASK_QUEUE, refundWorkflowId, type Envelope } from '../workflows/messages.js';
import { until } from './setup/eventually.js';
import { frontDoorKeys, proven } from './setup/front-door-keys.js';
import { temporalAddress } from './setup/real-parts.js';

const ANSWER_WITHIN_MS = 10_000;
const TEST_TIMEOUT_MS = 20_000;

let connection: Connection;
let client: Client;
let engine: RefundEngine;
beforeAll(async () => {
  connection = await Connection.connect({ address: temporalAddress() });
  client = new Client({ connection });
  engine = createRefundEngine(client);
});
afterAll(() => connection.close());

const start: RefundStart = {
  refundId: `rfd_${randomUUID()}`,
  actor: 'ana',
  idempotencyKey: 'k',
  fingerprint: 'f',
  requestId: 'req_1',
  askId: randomUUID(),
  providerEnabled: true,
  admitUntilMs: 0,
  request: {
    payment: { paymentId: 'pay_1' },
    amountMinor: 1050,
    currency: 'BRL',
    reason: 'duplicate',
    description: 'the name of a person',
    reference: 'ref-1',
    metadata: {},
    expectedRefundableMinor: null,
  },
};
const hints = {
  provider: 'pagou',
  paymentId: 'pay_1',
  reference: 'ref-1',
  amountMinor: 1050,
  deadlineMs: Date.parse('2026-06-01T03:00:00Z'),
  summary: 'Refund through pagou: 10.50 BRL',
};

describe('the engine over Temporal', () => {
  it(
    'starts the refund where people find it, and gives up before the client does when no worker answers',
    async () => {
      const began = performance.now();
      await expect(engine.requestRefund(proven('start', start), hints)).rejects.toEqual(
        expect.objectContaining({ name: 'EngineFailure', kind: 'unavailable' }),
      );
      expect(performance.now() - began).toBeLessThan(ANSWER_WITHIN_MS);
      const handle = client.workflow.getHandle(refundWorkflowId(start.refundId));
      const described = await handle.describe();
      expect(described.type).toBe('refund');
      expect(described.taskQueue).toBe(REFUND_TASK_QUEUE);
      expect(described.typedSearchAttributes.getAll().map((pair) => [pair.key.name, pair.value])).toEqual(
        expect.arrayContaining([
          ['RefundStatus', 'pending'],
          ['RefundProvider', 'pagou'],
          ['RefundPaymentId', 'pay_1'],
          ['RefundReference', 'ref-1'],
          ['RefundAmount', 1050],
          ['RefundDeadline', new Date(hints.deadlineMs)],
        ]),
      );
      const { body, proof } = await startedWith(handle);
      expect(body).toEqual(start);
      expect(isProven(frontDoorKeys, 'start', body, proof)).toBe(true);
      await engine.hint(start.refundId, 'webhook');
      await handle.terminate();
    },
    TEST_TIMEOUT_MS,
  );

  it('takes a hint for a refund whose workflow is over as done', async () => {
    await expect(engine.hint('rfd_unknown', 'refresh')).resolves.toBeUndefined();
  });

  it(
    'is ready where Temporal answers, and not ready where it does not',
    async () => {
      expect(await engine.ready()).toBe(true);
      const nowhere = Connection.lazy({ address: '127.0.0.1:1' });
      const deaf = createRefundEngine(new Client({ connection: nowhere }));
      expect(await deaf.ready()).toBe(false);
      await expect(deaf.hint('rfd_1', 'webhook')).rejects.toBeInstanceOf(EngineFailure);
    },
    TEST_TIMEOUT_MS,
  );
});

describe('an engine that is silent', () => {
  it(
    'keeps nobody else waiting: few try, and all others are refused at once',
    async () => {
      const lost = createRefundEngine(
        new Client({ connection: Connection.lazy({ address: '127.0.0.1:1' }) }),
      );
      const refusals: unknown[] = [];
      const asking = setInterval(
        () =>
          void lost
            .requestRefund(proven('start', start), hints)
            .catch((error: unknown) => refusals.push(error)),
        100,
      );
      await until(async () => refusals.some((error) => error instanceof Problem));
      clearInterval(asking);
      const crowd = Array.from({ length: 10 }, () => lost.requestRefund(proven('start', start), hints));
      const first = await Promise.race(crowd.map((ask) => ask.catch((error: unknown) => error)));
      expect(first).toMatchObject({ code: 'engine_unavailable' });
      await Promise.allSettled(crowd);
    },
    TEST_TIMEOUT_MS,
  );
});

/** As a worker reads it: what Temporal's JSON left of the envelope. */
async function startedWith(handle: WorkflowHandle): Promise<Envelope<RefundStart>> {
  const { events } = await handle.fetchHistory();
  const input = events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0];
  return defaultPayloadConverter.fromPayload(input!);
}
