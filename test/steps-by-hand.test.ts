import { randomUUID } from 'node:crypto';
import { defaultPayloadConverter } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { REFUND_TASK_QUEUE } from '../workflows/messages.js';
import { askForRefund, standingOf, startServiceUnder, trailOf, vote } from './setup/people-at-the-door.js';
import { isFinal, refundWhen, type Service } from './setup/service.js';

let service: Service;
beforeAll(async () => {
  service = await startServiceUnder({ approval: { rules: [{ when: { amount_gte: 1 }, approvals: 1 }] } });
}, 60_000);
afterAll(async () => {
  await service.close();
}, 60_000);

describe('a ledger step that is asked for through Temporal, and by no workflow', () => {
  const steps: Readonly<Record<string, object>> = {
    compensate: { reason: 'provider_declined' },
    expire: { nowMs: 3e13 },
    review: { why: 'a test' },
    remind: { of: { kind: 'windowClosing', daysLeft: 1 }, nowMs: 1 },
    settle: {},
    takeLane: {},
  };

  it('is refused, and changes nothing: the votes decide', async () => {
    const asked = await askForRefund(service);
    const before = await standingOf(service, asked);
    const trail = await trailOf(service, asked.id);
    for (const [step, input] of Object.entries(steps)) {
      expect([step, await failureOf(step, { refundId: asked.id, ...input })]).toEqual([step, 'NotLocal']);
    }
    expect(await standingOf(service, asked)).toEqual(before);
    expect(await trailOf(service, asked.id)).toEqual(trail);
    expect(await vote(service, asked, 'ana')).toMatchObject({ status: 200 });
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
  }, 30_000);
});

/** The type of the failure that it came to; undefined: it was done. */
async function failureOf(step: string, input: object): Promise<string | null | undefined> {
  const { workflowService, options } = service.client;
  const activity = { namespace: options.namespace, activityId: randomUUID() };
  const { runId } = await workflowService.startActivityExecution({
    ...activity,
    activityType: { name: step },
    taskQueue: { name: REFUND_TASK_QUEUE },
    startToCloseTimeout: { seconds: 10 as never },
    identity: 'eve',
    requestId: randomUUID(),
    input: { payloads: [defaultPayloadConverter.toPayload(input)] },
  });
  const { outcome } = await workflowService.pollActivityExecution({ ...activity, runId });
  return outcome?.failure?.applicationFailureInfo?.type;
}
