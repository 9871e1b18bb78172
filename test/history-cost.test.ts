import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PROVIDERS } from '../src/providers/registry.js';
import type { SimulatedProvider } from '../simulators/book.js';
import { refundWorkflowId } from '../workflows/messages.js';
import { registerPayment, startService, type Service } from './setup/service.js';

/** What an engine that bills and stores by the step may be asked for, at most. */
const AT_MOST = {
  response: { events: 18, transitions: 8 },
  read: { events: 30, transitions: 14 },
} as const;

describe('a refund of a registered payment, with its amount given, on its happy path', () => {
  let service: Service;
  beforeAll(async () => {
    // No look before the webhook: with one, the count would depend on which comes first.
    service = await startService({ CONFIRM_POLL_MS: '60000', CONFIRM_POLL_MAX_MS: '60000' });
  }, 60_000);
  afterAll(() => service.close(), 60_000);

  it.each(PROVIDERS.map(({ name, capabilities }) => ({ name, ...AT_MOST[capabilities.confirmation] })))(
    'costs at most $events events and $transitions transitions: $name',
    async ({ name, events, transitions }) => {
      const payment = await registerPayment(service, name as SimulatedProvider, 4_200);
      const { status, body } = await service.call('POST', '/v1/refunds', {
        idempotencyKey: `cost-${name}`,
        body: { payment_id: payment.id, amount: 4_200, reason: 'requested_by_customer' },
      });
      expect(status).toBe(202);
      const handle = service.client.workflow.getHandle(refundWorkflowId(body.id));
      expect(await handle.result()).toEqual({ status: 'succeeded' });

      const { historyLength, raw } = await handle.describe();
      const stateTransitions = Number(raw.workflowExecutionInfo?.stateTransitionCount);
      expect(historyLength).toBeLessThanOrEqual(events);
      expect(stateTransitions).toBeLessThanOrEqual(transitions);
      expect(stateTransitions).toBeGreaterThan(0);
    },
    30_000,
  );
});
