import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PROVIDERS } from '../src/providers/registry.js';
import type { SimulatedProvider } from '../simulators/book.js';
import { refundWorkflowId, stageQuery } from '../workflows/messages.js';
import { eventually } from './setup/eventually.js';
import { registerPayment, startService, type Service } from './setup/service.js';

/** What an engine that bills and stores by the step is asked for. */
const AT_MOST = {
  /** Confirmed by the answer, or by a webhook that comes while the call's worker still listens. */
  atOnce: { events: 16, transitions: 7, actions: 6 },
  /** By a webhook that wakes the refund's process. */
  later: { events: 22, transitions: 10, actions: 8 },
} as const;
/** Listened for half of it; the first look of its own comes after all of it. */
const POLL_MS = 2_000;
const TOO_LATE_TO_BE_HEARD_MS = 1_500;

describe('a refund of a registered payment, with its amount given, on its happy path', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ CONFIRM_POLL_MS: String(POLL_MS), CONFIRM_POLL_MAX_MS: '60000' });
  }, 60_000);
  afterAll(() => service.close(), 60_000);

  it.each(PROVIDERS.map(({ name }) => ({ name: name as SimulatedProvider, ...AT_MOST.atOnce })))(
    'costs at most $events events, $transitions transitions and $actions actions: $name',
    async ({ name, ...atMost }) => {
      expectWithin(await costOfRefund(service, name), atMost);
    },
    30_000,
  );

  it.each(
    PROVIDERS.filter(({ capabilities }) => capabilities.confirmation === 'read').map(({ name }) => ({
      name: name as SimulatedProvider,
      ...AT_MOST.later,
    })),
  )(
    'costs at most $events events, $transitions transitions and $actions actions with a late webhook: $name',
    async ({ name, ...atMost }) => {
      await service.simulators.inject(name, {
        name: 'confirm_delay',
        operation: 'submit',
        ms: TOO_LATE_TO_BE_HEARD_MS,
      });
      const cost = await costOfRefund(service, name);
      expectWithin(cost, atMost);
      expect(cost.events).toBeGreaterThan(AT_MOST.atOnce.events);
    },
    30_000,
  );
});

interface Cost {
  readonly events: number;
  readonly transitions: number;
  readonly actions: number;
}

function expectWithin(cost: Cost, atMost: Cost): void {
  expect(cost.events).toBeLessThanOrEqual(atMost.events);
  expect(cost.transitions).toBeLessThanOrEqual(atMost.transitions);
  expect(cost.actions).toBeLessThanOrEqual(atMost.actions);
  expect(Math.min(cost.transitions, cost.actions)).toBeGreaterThan(4);
}

/** As the engine itself counts it. */
async function costOfRefund(service: Service, provider: SimulatedProvider): Promise<Cost> {
  const payment = await registerPayment(service, provider, 4_200);
  const before = await actionsBut(service, 'grpc_QueryWorkflow');
  const { status, body } = await service.call('POST', '/v1/refunds', {
    idempotencyKey: `cost-${payment.id}`,
    body: { payment_id: payment.id, amount: 4_200, reason: 'requested_by_customer' },
  });
  expect(status).toBe(202);
  const handle = service.client.workflow.getHandle(refundWorkflowId(body.id));
  expect(await handle.result()).toEqual({ status: 'succeeded' });
  const { historyLength, raw } = await handle.describe();
  // The engine tells its figures a second later, all at once: with this query, all before it is told.
  const queries = await actionsOf(service, 'grpc_QueryWorkflow');
  await handle.query(stageQuery);
  await eventually(
    () => actionsOf(service, 'grpc_QueryWorkflow'),
    (now) => now > queries,
    10_000,
  );
  return {
    events: historyLength,
    transitions: Number(raw.workflowExecutionInfo?.stateTransitionCount),
    actions: (await actionsBut(service, 'grpc_QueryWorkflow')) - before,
  };
}

async function actionsOf(service: Service, type: string): Promise<number> {
  return sum((await actions(service)).filter((line) => line.includes(`action_type="${type}"`)));
}

async function actionsBut(service: Service, type: string): Promise<number> {
  return sum((await actions(service)).filter((line) => !line.includes(`action_type="${type}"`)));
}

async function actions({ temporal }: Service): Promise<string[]> {
  if (temporal.metricsUrl === null) throw new Error('the engine does not say where its figures are');
  const text = await (await fetch(temporal.metricsUrl)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith('action{') && line.includes('namespace="default"'));
}

function sum(lines: readonly string[]): number {
  return lines.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0);
}
