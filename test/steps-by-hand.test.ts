import { randomUUID } from 'node:crypto';
import { defaultPayloadConverter } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { providerTaskQueue, REFUND_TASK_QUEUE, stageQuery } from '../workflows/messages.js';
import { assertBooks } from './setup/books.js';
import { until } from './setup/eventually.js';
import { contentOf, forgerAt, holdable, type Forger } from './setup/forger.js';
import {
  act,
  askForRefund,
  contentHashOf,
  standingOf,
  startServiceUnder,
  trailOf,
  vote,
  type Asked,
} from './setup/people-at-the-door.js';
import { isFinal, refundWhen, type Answer, type Service } from './setup/service.js';

jest.setTimeout(60_000);

let service: Service;
let forger: Forger;
const { before, hold, releaseAll } = holdable();
beforeAll(async () => {
  service = await startServiceUnder({ approval: { rules: [{ when: { amount_gte: 1 }, approvals: 1 }] } });
  await service.stopWorkers();
  await service.startWorkers({ before });
  forger = forgerAt(service);
}, 60_000);
afterAll(async () => {
  releaseAll();
  await assertBooks(service.db);
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

  it.concurrent('is refused, and changes nothing: the votes decide', async () => {
    const asked = await askForRefund(service);
    const before = await standingOf(service, asked);
    const trail = await trailOf(service, asked.id);
    for (const [step, input] of Object.entries(steps)) {
      const { failure } = await outcomeOf(step, REFUND_TASK_QUEUE, { refundId: asked.id, ...input });
      expect([step, failure?.applicationFailureInfo?.type]).toEqual([step, 'NotLocal']);
    }
    expect(await standingOf(service, asked)).toEqual(before);
    expect(await trailOf(service, asked.id)).toEqual(trail);
    expect(await vote(service, asked, 'ana')).toMatchObject({ status: 200 });
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
  });
});

const FAR_MS = 253_402_300_799_999;
const MADE_UP = {
  ...{ state: 'waiting', version: 1e12, round: 99, required: 2, missing: 2 },
  ...{ requestedAtMs: FAR_MS, expiresAtMs: FAR_MS },
};

describe('what a remote step tells of votes, made up', () => {
  it.concurrent('keeps no review from being resolved', async () => {
    const asked = await refundInReview();
    const waits = [MADE_UP, { ...MADE_UP, requestedAtMs: 8e15, expiresAtMs: 8e15 }, { missing: {} }];
    for (const wait of waits) {
      const release = hold('look', asked.id);
      await forger.handleOf(asked.id).signal('hint', { body: { source: 'webhook' } });
      await forger.complete(asked.id, 'look', { kind: 'awaitsVotes', wait });
      release();
    }
    const release = hold('resolve', asked.id);
    const answer = resolve(asked, 'succeeded');
    const verdict = { kind: 'resend', attempt: 1, approval: MADE_UP };
    await forger.complete(asked.id, 'resolve', { verdict, wakeRefundId: null });
    expect((await answer).status).toBe(503);
    await stageIs(asked, 'review');
    release();
    let last = await resolve(asked, 'succeeded');
    while (last.status === 503) last = await resolve(asked, 'succeeded');
    expect(last).toMatchObject({ status: 200, body: { status: 'succeeded' } });
  });

  it.concurrent('or left out, loses no round of votes, and no lane to a call by hand', async () => {
    const asked = await refundThatNeverLeft('fourgeeks');
    const release = hold('resolve', asked.id);
    const answer = resolve(asked, 'resend');
    await forger.complete(asked.id, 'resolve', {
      verdict: { kind: 'resend', attempt: 2 },
      wakeRefundId: null,
    });
    release();
    await answer;
    const again = await refundWhen(service, asked.id, ({ status }) => status === 'requires_approval');
    await forger.handleOf(asked.id).signal('hint', { body: { source: 'webhook' } });
    await stageIs(asked, 'approving');

    expect(await laneHolder(asked)).toBe(asked.id);
    const operator = { actor: 'olga', role: 'operator', body: { reason: 'a test' } } as const;
    await service.call('POST', `/v1/providers/${asked.provider}/pause`, operator);
    const byHand = { refundId: asked.id, attempt: 3, nowMs: 0 };
    const { result } = await outcomeOf('submit', providerTaskQueue(asked.provider), byHand);
    expect(contentOf(service, result?.payloads?.[0])).toMatchObject({
      result: { kind: 'notPending' },
    });
    expect(await laneHolder(asked)).toBe(asked.id);
    await service.call('POST', `/v1/providers/${asked.provider}/resume`, operator);
    expect(await vote(service, { ...asked, contentHash: contentHashOf(again) }, 'bruno')).toMatchObject({
      status: 200,
    });
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
    expect(sentFor(asked)).toHaveLength(1);
  });

  it.concurrent('or denied, keeps none from being sent that all agreed on', async () => {
    const asked = await refundThatNeverLeft('pagou');
    const release = hold('resolve', asked.id);
    const answer = resolve(asked, 'resend');
    await until(() => isUnderWay(asked, 'resolve'));
    const releaseLook = hold('look', asked.id);
    const verdict = { kind: 'contradicted', why: 'It is there.' };
    await forger.complete(asked.id, 'resolve', { verdict, wakeRefundId: null });
    expect((await answer).status).toBe(409);
    release();
    const again = await refundWhen(service, asked.id, ({ status }) => status === 'requires_approval');
    await vote(service, { ...asked, contentHash: contentHashOf(again) }, 'bruno');
    releaseLook();
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
    expect(sentFor(asked)).toHaveLength(1);
  });
});

describe('the answer of a call, made up', () => {
  it.concurrent.each<[string, unknown]>([
    ['as a rule that nobody knows', called({ kind: 'ineligible', attempt: 0, code: 'the customer lied' })],
    ['as no rule', called({ kind: 'ineligible', attempt: 0, code: { a: 1 } })],
    ['as declined', called({ kind: 'declined', attempt: 1, resolveFirst: false })],
    ['as a wait for nothing', called({ kind: 'notNow', attempt: 0, reason: 'x', retryAfterMs: 'soon' })],
    ['as attempt of no number', called({ kind: 'done', attempt: 'x' })],
    ['as nothing', null],
  ])('%s fails no refund and stops none', async (_case, lie) => {
    const asked = await askForRefund(service);
    const release = hold('submit', asked.id);
    await vote(service, asked, 'ana');
    await forger.complete(asked.id, 'submit', lie as object);
    release();
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({
      status: 'succeeded',
      failure_reason: null,
    });
    expect(sentFor(asked)).toHaveLength(1);
  });

  it.concurrent('of a vote, as nothing, is answered as unknown, and the vote counts after all', async () => {
    const asked = await askForRefund(service);
    const release = hold('castVote', asked.id);
    const answer = vote(service, asked, 'ana');
    await forger.complete(asked.id, 'castVote', null as unknown as object);
    expect((await answer).status).toBe(503);
    release();
    let last = await vote(service, asked, 'ana');
    while (last.status === 503) last = await vote(service, asked, 'ana');
    expect(last).toMatchObject({ status: 200 });
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
  });
});

function called(result: object): object {
  return { result, wakeRefundId: null };
}

function resolve({ id }: Asked, outcome: string): Promise<Answer> {
  const body = { outcome, evidence: 'their support' };
  return act(service, id, 'resolve', { actor: 'olga', role: 'operator', body });
}

/** Our call's answer is lost, and somebody makes an equal refund in the panel: no reading tells them apart. */
async function refundInReview(): Promise<Asked> {
  await service.simulators.inject('braspag', { operation: 'submit', name: 'timeout_after_effect' });
  const asked = await askForRefund(service, { provider: 'braspag', amount: 10, paid: 100 });
  await vote(service, asked, 'ana');
  await until(async () => sentFor(asked).length > 0);
  service.simulators.addPanelRefund('braspag', asked.providerPaymentId, 10);
  await refundWhen(service, asked.id, ({ status }) => status === 'review');
  return asked;
}

/** Sent twice, and lost on the way both times. */
async function refundThatNeverLeft(provider: 'fourgeeks' | 'pagou'): Promise<Asked> {
  await service.simulators.inject(provider, { operation: 'submit', name: 'reset_before_effect', times: 2 });
  const asked = await askForRefund(service, { provider });
  await vote(service, asked, 'ana');
  await refundWhen(service, asked.id, ({ status }) => status === 'review', 25_000);
  return asked;
}

async function stageIs({ id }: Asked, stage: string): Promise<void> {
  await until(async () => (await forger.handleOf(id).query(stageQuery)) === stage);
}

async function isUnderWay({ id }: Asked, step: string): Promise<boolean> {
  const { raw } = await forger.handleOf(id).describe();
  return raw.pendingActivities?.some(({ activityType }) => activityType?.name === step) === true;
}

async function laneHolder({ paymentId }: Asked): Promise<string | undefined> {
  const lanes = service.db.selectFrom('lanes').select('holder_refund_id').where('payment_id', '=', paymentId);
  return (await lanes.executeTakeFirst())?.holder_refund_id;
}

function sentFor({ provider, providerPaymentId }: Asked) {
  return service.simulators.refundsOf(provider, providerPaymentId);
}

/** What became of a step that is asked for by hand. */
async function outcomeOf(step: string, taskQueue: string, input: object) {
  const { workflowService, options } = service.client;
  const activity = { namespace: options.namespace, activityId: randomUUID() };
  const { runId } = await workflowService.startActivityExecution({
    ...activity,
    activityType: { name: step },
    taskQueue: { name: taskQueue },
    startToCloseTimeout: { seconds: 10 as never },
    identity: 'eve',
    requestId: randomUUID(),
    input: { payloads: [defaultPayloadConverter.toPayload(input)] },
  });
  const { outcome } = await workflowService.pollActivityExecution({ ...activity, runId });
  return { failure: outcome?.failure, result: outcome?.result };
}
