import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { WorkflowStartOptions } from '@temporalio/client';
import type { AdmissionVerdict, RefundStart } from '../activities/interface.js';
import { prove } from '../src/signing/proof.js';
import { refundIdOfKey } from '../src/signing/refund-id.js';
import { resumeOrphans } from '../src/upkeep/orphans.js';
import { refundWorkflowId, type Envelope } from '../workflows/messages.js';
import { assertBooks } from './setup/books.js';
import { until } from './setup/eventually.js';
import { forgerAt, holdable, type Forger, type Message } from './setup/forger.js';
import {
  act,
  askForRefund,
  cancel,
  extend,
  refundOf,
  standingOf,
  startServiceUnder,
  trailOf,
  vote,
  type Asked,
} from './setup/people-at-the-door.js';
import { isFinal, refundWhen, registerPayment, type Answer, type Service } from './setup/service.js';

const AMOUNT = 1_000;
const DAY_MS = 86_400_000;
const POLICY = { approval: { rules: [{ when: { amount_gte: AMOUNT }, approvals: 2 }] } };
/** So many messages a run takes, instead of 2,000; at nine tenths of them the server suggests another run. */
const UPDATES_A_RUN = 60;
const UPDATES_AT_ONCE = 8;

/** What an answer is to be like. */
const problem = (status: number, code: string) => ({ status, body: { code } });
const refundIs = (status: string) => ({ status: 200, body: { status } });
const RETRYABLE = { status: 503, body: { retryable: true } };

jest.setTimeout(40_000);

let service: Service;
let forger: Forger;
const { before: heldUntilReleased, hold, releaseAll } = holdable();
beforeAll(async () => {
  service = await startServiceUnder(POLICY, { 'history.maxTotalUpdates': String(UPDATES_A_RUN) });
  await service.stopWorkers();
  await service.startWorkers({ before: heldUntilReleased });
  forger = forgerAt(service);
});
afterAll(async () => {
  releaseAll();
  await assertBooks(service.db);
  await service.close();
});

describe('a message by hand', () => {
  it.concurrent('changes nothing, whatever proof it carries, and is told in the trail', async () => {
    const [asked, other] = await Promise.all([askForRefund(service), askForRefund(service)]);
    await Promise.all([vote(service, asked, 'ana'), vote(service, other, 'bruno')]);
    await extend(service, other.id, inDays(9));
    const genuine = await forger.messageOf(asked.id, 'vote');
    const ofOther = await forger.messageOf(other.id, 'vote');
    const extension = await forger.messageOf(other.id, 'extend');
    const altered = (message: Message, changes: object): Message => ({
      ...message,
      body: { ...message.body, ...changes },
    });
    const { body } = altered(genuine, { actor: 'mallory', nonce: randomUUID() });
    const ownKey = { keys: [{ id: 'test', secret: Buffer.alloc(32, 9) }] };
    const expiresAtMs = Date.now() + 20 * DAY_MS;
    const forged: [string, Message][] = [
      ['vote', { body }],
      ['vote', { body, proof: '' }],
      ['vote', { body, proof: 'v1.test.AAAA' }],
      ['vote', { body, proof: { proof: genuine.proof } }],
      ['vote', { body, proof: prove(ownKey, 'approve', body) }],
      ['vote', { body, proof: genuine.proof }],
      // Copies, with something else in them.
      ['vote', altered(genuine, { actor: 'bruno' })],
      ['vote', altered(genuine, { nonce: randomUUID() })],
      ['vote', altered(genuine, { comment: 'another' })],
      ['vote', altered(genuine, { decision: 'reject' })],
      ['vote', altered(genuine, { decision: 'cancel' })],
      ['vote', altered(genuine, { decision: { approve: true } })],
      // Of another refund.
      ['vote', ofOther],
      ['vote', altered(ofOther, { refundId: asked.id })],
      ['extend', extension],
      ['extend', altered(extension, { expiresAtMs })],
      ['extend', altered(extension, { refundId: asked.id, contentHash: asked.contentHash })],
      // Of another action.
      ['cancel', genuine],
      ['cancel', { body: { ...body, reason: null }, proof: genuine.proof }],
      ['extend', altered(genuine, { expiresAtMs })],
    ];
    const before = await standingOf(service, asked);
    const trail = await trailOf(service, asked.id);
    for (const [name, message] of forged) {
      expect([name, message, await forger.tell(asked.id, name, message)]).toEqual([
        name,
        message,
        { kind: 'unproven' },
      ]);
    }
    expect(await standingOf(service, asked)).toEqual(before);
    const news = (await trailOf(service, asked.id)).slice(trail.length);
    expect(news.map(({ type }) => type)).toEqual(forged.map(() => 'message_refused'));
    expect(news[0]).toMatchObject({
      actor: 'estorno',
      data: { action: 'approve', claimed_actor: 'mallory' },
    });
    await succeedsAfter(asked, 'bruno');
  });

  it.concurrent('that can’t be read is refused, and stops nothing', async () => {
    const asked = await askForRefund(service);
    await vote(service, asked, 'ana');
    const { body } = await forger.messageOf(asked.id, 'vote');
    const shapeless = [
      null,
      'vote',
      {},
      { body: null },
      { body: { ...body, actor: 7 } },
      { body: { ...body, actor: 'x'.repeat(300) } },
      { body: { ...body, nonce: undefined } },
    ];
    const before = await standingOf(service, asked);
    const trail = await trailOf(service, asked.id);
    for (const message of shapeless) {
      await Promise.all(
        ['vote', 'cancel', 'extend', 'resolve', 'unheard-of'].map((name) =>
          expect(forger.tell(asked.id, name, message)).rejects.toThrow('Update failed'),
        ),
      );
    }
    for (const message of [...shapeless, { body: { source: 7 } }, { body: { source: 'webhook' } }]) {
      await Promise.all(
        ['hint', 'retry', 'unheard-of'].map((name) => forger.handleOf(asked.id).signal(name, message)),
      );
    }
    expect(await standingOf(service, asked)).toEqual(before);
    expect(await trailOf(service, asked.id)).toEqual(trail);
    await succeedsAfter(asked, 'bruno');
  });

  it.concurrent('that comes in floods leaves room for those of the front door', async () => {
    const asked = await askForRefund(service);
    await vote(service, asked, 'ana');
    const { body } = await forger.messageOf(asked.id, 'vote');
    const { runId } = await forger.handleOf(asked.id).describe();
    const before = await standingOf(service, asked);
    for (let sent = 0; sent < UPDATES_A_RUN; sent += UPDATES_AT_ONCE) {
      const flood = Array.from({ length: UPDATES_AT_ONCE }, () => forger.tell(asked.id, 'vote', { body }));
      await Promise.allSettled(flood);
    }
    await refundWhen(service, asked.id, () => true);
    expect(await standingOf(service, asked)).toEqual(before);
    await succeedsAfter(asked, 'bruno');
    expect((await forger.handleOf(asked.id).describe()).runId).not.toBe(runId);
  });

  it.concurrent('that is a copy is told what the genuine one came to, and changes nothing', async () => {
    const asked = await askForRefund(service);
    await vote(service, asked, 'ana');
    await extend(service, asked.id, inDays(9));
    const [genuine, extension] = [
      await forger.messageOf(asked.id, 'vote'),
      await forger.messageOf(asked.id, 'extend'),
    ];
    await extend(service, asked.id, inDays(11));
    const before = await standingOf(service, asked);
    const trail = await trailOf(service, asked.id);
    const copies = [
      forger.tell(asked.id, 'vote', genuine),
      forger.tell(asked.id, 'vote', genuine),
      forger.tell(asked.id, 'extend', extension),
    ];
    expect(await Promise.all(copies)).toEqual(copies.map(() => ({ kind: 'done' })));
    expect(await standingOf(service, asked)).toEqual(before);
    expect(await trailOf(service, asked.id)).toEqual(trail);
    await succeedsAfter(asked, 'bruno');
  });

  it.concurrent('that is a copy of a refused cancel cancels nothing later, when one could', async () => {
    const asked = await refundThatWasOnceOnItsWay();
    const refused = await forger.messageOf(asked.id, 'cancel');
    const before = await standingOf(service, asked);
    expect(await forger.tell(asked.id, 'cancel', refused)).toMatchObject({
      kind: 'refused',
      code: 'not_cancelable',
    });
    expect(await standingOf(service, asked)).toEqual(before);
    expect(await cancel(service, asked.id)).toMatchObject(refundIs('canceled'));
  });

  it.concurrent('ends no review, nor does a result that is made up for it', async () => {
    const other = await refundInReview();
    expect(await resolve(other)).toMatchObject({ status: 200 });
    const genuine = await forger.messageOf(other.id, 'resolve');
    const asked = await refundInReview();
    const before = await standingOf(service, asked);
    const { version: refundVersion } = await refundOf(service, asked.id);
    const body = { ...genuine.body, refundId: asked.id, nonce: randomUUID(), refundVersion };
    const forged: Message[] = [
      genuine,
      { body },
      { body, proof: genuine.proof },
      { body: { ...body, outcome: 'failed' }, proof: genuine.proof },
    ];
    for (const message of forged) {
      expect(await forger.tell(asked.id, 'resolve', message)).toEqual({ kind: 'unproven' });
    }
    const release = hold('resolve', asked.id);
    const answer = resolve(asked);
    const lie = { kind: 'resend', attempt: 1 };
    await forger.complete(asked.id, 'resolve', { verdict: lie, wakeRefundId: null });
    expect(await answer).toMatchObject(RETRYABLE);
    expect(await standingOf(service, asked)).toEqual(before);
    release();
    let last = await resolve(asked);
    while (last.status === 503) last = await resolve(asked);
    expect(last).toMatchObject(refundIs('succeeded'));
  });
});

describe('a start by hand', () => {
  it.concurrent('of a refund that waits takes it up as the ledger has it, whatever it claims', async () => {
    const asked = await askForRefund(service);
    await vote(service, asked, 'ana');
    const before = await standingOf(service, asked);
    const { proof, body } = await forger.startOf(asked.id);
    const other = await forger.startOf((await askForRefund(service)).id);
    const resume = { body: { refundId: asked.id, resume: true } };
    const starts: readonly unknown[][] = [
      [{ body }],
      [{ body: { ...body, request: { ...body.request, amountMinor: 1 } }, proof }],
      [{ body, proof: other.proof }],
      [{ body, proof }],
      [resume],
      // With a past that no run has handed over.
      ...PASTS.flatMap((state) => [
        [resume, { state, verdict: REPLAYED }],
        [
          { body, proof },
          { state, verdict: REPLAYED },
        ],
      ]),
    ];
    for (const args of starts) {
      await forger.start(asked.id, { args, workflowIdConflictPolicy: 'TERMINATE_EXISTING' });
      await waitsFor(asked, 1);
      expect([args, await standingOf(service, asked)]).toEqual([args, before]);
    }
    await succeedsAfter(asked, 'bruno');
  });

  const again: readonly Partial<WorkflowStartOptions>[] = [
    { cronSchedule: '@every 1s' },
    { retry: { initialInterval: '10ms', maximumAttempts: 5 } },
  ];
  it.concurrent.each(again)('that begins again by itself hands on no past: %j', async (options) => {
    const asked = await askForRefund(service);
    await vote(service, asked, 'ana');
    const before = await standingOf(service, asked);
    const args = [{ body: { refundId: asked.id, resume: true } }, { state: PASTS[1], verdict: REPLAYED }];
    const workflowIdConflictPolicy = 'TERMINATE_EXISTING';
    await forger.start(asked.id, { args, workflowIdConflictPolicy, workflowRunTimeout: '3s', ...options });
    const { runId } = await forger.handleOf(asked.id).describe();
    await until(async () => (await forger.handleOf(asked.id).describe()).runId !== runId);
    await waitsFor(asked, 1);
    expect(await standingOf(service, asked)).toEqual(before);
    await forger.handleOf(asked.id).terminate('a test');
    await succeedsAfter(asked, 'bruno');
  });

  it.concurrent('of another refund under this one’s name changes nothing for either', async () => {
    const [asked, other] = await Promise.all([askForRefund(service), askForRefund(service)]);
    const before = [await standingOf(service, asked), await standingOf(service, other)];
    const args = [await forger.startOf(other.id)];
    await forger.start(asked.id, { args, workflowIdConflictPolicy: 'TERMINATE_EXISTING' });
    await expect(forger.handleOf(asked.id).result()).rejects.toThrow();
    expect([await standingOf(service, asked), await standingOf(service, other)]).toEqual(before);
    await vote(service, asked, 'ana');
    await succeedsAfter(asked, 'bruno');
  });

  const refused: AdmissionVerdict = {
    kind: 'refused',
    broken: [{ code: 'limit_exceeded', detail: 'x', pointer: '' }],
    firstAskId: '',
  };
  const early: readonly {
    readonly title: string;
    readonly args: (forged: Envelope<RefundStart>) => unknown[];
  }[] = [
    { title: 'without a proof', args: ({ body }) => [{ body }] },
    { title: 'with a copied proof', args: (forged) => [forged] },
    { title: 'as if taken up', args: ({ body }) => [{ body: { refundId: body.refundId, resume: true } }] },
    {
      title: 'as if taken up for another request',
      args: ({ body }) => [{ body: { ...body, resume: true, fingerprint: 'another' } }],
    },
    {
      title: 'with a past in which it was refused',
      args: ({ body }) => [{ body }, { state: PASTS[0], verdict: refused }],
    },
    {
      title: 'with a past in which its key was used',
      args: ({ body }) => [{ body }, { state: PASTS[0], verdict: { kind: 'keyReused' } }],
    },
  ];
  it.concurrent.each(early)(
    'before its request, $title: the client gets its own refund, if after a 503',
    async ({ args }) => {
      const { refundId, payment, request } = await aRequest();
      const genuine = await forger.startOf((await askForRefund(service)).id);
      const forged = {
        body: {
          ...genuine.body,
          ...{ refundId, idempotencyKey: request.idempotencyKey, admitUntilMs: Date.now() + DAY_MS },
          request: { ...genuine.body.request, payment: { paymentId: payment.id }, amountMinor: 3 * AMOUNT },
        },
        ...(genuine.proof === undefined ? {} : { proof: genuine.proof }),
      };
      // It begins when the request comes, and has to answer it.
      await forger.start(refundId, { args: args(forged), startDelay: '1 day' });
      const { runId } = await forger.handleOf(refundId).describe();
      expect(await service.call('POST', '/v1/refunds', request)).toMatchObject(RETRYABLE);
      expect((await forger.handleOf(refundId, runId).describe()).status.name).not.toBe('RUNNING');
      await getsItsRefund(refundId, request);
    },
  );

  it.concurrent(
    'where no worker hears of it keeps the client waiting, and tells it nothing false',
    async () => {
      const { refundId, request } = await aRequest();
      await forger.start(refundId, { args: [], taskQueue: 'nobody' });
      expect(await service.call('POST', '/v1/refunds', request)).toMatchObject(RETRYABLE);
      await forger.handleOf(refundId).terminate('a test');
      await getsItsRefund(refundId, request);
    },
  );
});

describe('a result that is made up', () => {
  const lies: readonly { readonly title: string; readonly standing: object | null }[] = [
    { title: 'that all have agreed', standing: { state: 'approved', version: 99 } },
    { title: 'that it was rejected', standing: { state: 'closed', status: 'rejected', version: 99 } },
    { title: 'that it is in review', standing: { state: 'review', version: 99 } },
    {
      title: 'that its time is over',
      standing: {
        ...{ state: 'waiting', version: 99, round: 1, required: 2, missing: 0 },
        ...{ requestedAtMs: 0, expiresAtMs: 1 },
      },
    },
    { title: 'that nothing was changed', standing: null },
  ];
  it.concurrent.each(lies)(
    'for a vote, $title: the ledger’s votes count, and no other',
    async ({ standing }) => {
      const asked = await askForRefund(service);
      const release = hold('castVote', asked.id);
      const before = await standingOf(service, asked);
      const answer = vote(service, asked, 'ana');
      await forger.complete(asked.id, 'castVote', {
        verdict: { kind: 'done' },
        standing,
        wakeRefundId: null,
      });
      // Whose vote was not counted is not told that it was.
      expect(await answer).toMatchObject(RETRYABLE);
      expect(await standingOf(service, asked)).toEqual(before);
      release();
      expect(await vote(service, asked, 'ana')).toMatchObject({ status: 200 });
      expect(await refundOf(service, asked.id)).toMatchObject({ approval: { missing: 1 } });
      await succeedsAfter(asked, 'bruno');
    },
  );

  it.concurrent.each([
    ['that it is done', { kind: 'done', attempt: 1 }],
    ['that it was accepted', { kind: 'accepted', attempt: 1 }],
    ['that nobody knows', { kind: 'unknown', attempt: 1, firstSentAtMs: 1, resendAfterMs: null }],
  ])('for a call, %s: it is sent once, and has succeeded when the provider says so', async (_, result) => {
    const asked = await askForRefund(service);
    const release = hold('submit', asked.id);
    await vote(service, asked, 'ana');
    await vote(service, asked, 'bruno');
    await forger.complete(asked.id, 'submit', { result, wakeRefundId: null });
    await until(async () => !(await refundOf(service, asked.id)).status.startsWith('requires'));
    expect(await refundOf(service, asked.id)).toMatchObject({ status: 'pending' });
    expect(sentFor(asked)).toEqual([]);
    release();
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
    expect(sentFor(asked)).toMatchObject([{ amountMinor: AMOUNT }]);
  });

  it.concurrent('for an admission is taken from nobody', async () => {
    const { refundId, request } = await aRequest();
    const release = hold('admit', refundId);
    const answer = service.call('POST', '/v1/refunds', request);
    await until(() => isRunning(refundId));
    const made = { verdict: { kind: 'admitted', refundId, firstAskId: '' }, terms: TERMS };
    for (const activityId of ['0', '1', 'admit']) {
      await expect(forger.respondTo(refundId, activityId, made)).rejects.toThrow();
    }
    release();
    expect(await answer).toMatchObject({ status: 202, body: { status: 'requires_approval' } });
  });
});

describe('a run between two votes', () => {
  const strokes: readonly { readonly title: string; readonly strike: (asked: Asked) => Promise<unknown> }[] =
    [
      { title: 'ended', strike: (asked) => forger.handleOf(asked.id).terminate('a test') },
      {
        title: 'ended, and found by the sweep',
        strike: async (asked) => {
          await forger.handleOf(asked.id).terminate('a test');
          // Visibility may still show the run that has just been ended.
          await until(async () => (await resumeOrphans(service.db, service.client)).includes(asked.id));
          await waitsFor(asked, 1);
        },
      },
      {
        title: 'ended, and asked for again',
        strike: async (asked) => {
          await forger.handleOf(asked.id).terminate('a test');
          const body = { payment_id: asked.paymentId, amount: AMOUNT, reason: 'duplicate' };
          const { idempotencyKey } = asked;
          expect(await service.call('POST', '/v1/refunds', { idempotencyKey, body })).toMatchObject({
            status: 202,
            body: { id: asked.id, approval: { missing: 1 } },
          });
          await waitsFor(asked, 1);
        },
      },
      {
        title: 'deleted',
        strike: ({ id }) =>
          service.client.workflowService.deleteWorkflowExecution({
            namespace: 'default',
            workflowExecution: { workflowId: refundWorkflowId(id) },
          }),
      },
      {
        title: 'reset to each of its steps',
        strike: (asked) => forger.resetToEach(asked.id, () => waitsFor(asked, 1)),
      },
    ];
  it.concurrent.each(strokes)('$title: keeps its votes, and waits for the others', async ({ strike }) => {
    const asked = await askForRefund(service);
    await vote(service, asked, 'ana');
    const before = await standingOf(service, asked);
    await strike(asked);
    expect(await standingOf(service, asked)).toEqual(before);
    await succeedsAfter(asked, 'bruno');
  });

  it.concurrent('that Temporal is asked to cancel goes on', async () => {
    const asked = await askForRefund(service);
    await vote(service, asked, 'ana');
    const { runId } = await forger.handleOf(asked.id).describe();
    await forger.handleOf(asked.id).cancel();
    await succeedsAfter(asked, 'bruno');
    expect(await forger.handleOf(asked.id, runId).result()).toEqual({ status: 'succeeded' });
  });

  it.concurrent('reset to there after its end sends nothing more', async () => {
    const asked = await askForRefund(service);
    await vote(service, asked, 'ana');
    await succeedsAfter(asked, 'bruno');
    const before = await standingOf(service, asked);
    await forger.resetToEach(asked.id, async () => {
      expect(await forger.handleOf(asked.id).result()).toEqual({ status: 'succeeded' });
    });
    expect(await standingOf(service, asked)).toEqual(before);
  });
});

const REPLAYED = { kind: 'replayed' };
const TERMS = {
  ...{ provider: 'efi', paymentId: 'pay_1', amountMinor: 1, currency: 'BRL' },
  ...{ needsLane: false, idempotentSubmit: true, deadlineMs: 1, submitBeforeMs: null },
  ...{ quietMs: 1, pollMs: 1, pollMaxMs: 1, retryMaxMs: 60_000 },
  ...{ insufficientBalanceWaitMs: 1, providerUnavailableWaitMs: 1 },
  ...{ processingReviewAfterMs: 1, unknownReviewAfterMs: 1 },
};
const PAST = {
  ...{ terms: TERMS, attempt: 0, firstSentAtMs: null, declined: false, resends: 0 },
  ...{ wait: null, waits: {}, stageSinceMs: 0, round: 0, resendAfterMs: null, refusals: 0 },
};
/** What would lead to a call, to the reservation's end, to a review, and to an expiry. */
const PASTS = [
  { ...PAST, stage: 'waiting' },
  { ...PAST, stage: 'waiting', terms: { ...TERMS, submitBeforeMs: 1 } },
  { ...PAST, stage: 'confirming' },
  {
    ...PAST,
    stage: 'approving',
    approval: {
      wait: {
        ...{ state: 'waiting', version: 99, round: 1, required: 1, missing: 0 },
        ...{ requestedAtMs: 0, expiresAtMs: 1 },
      },
      ...{ reminders: 0, escalated: false },
    },
  },
];

async function aRequest() {
  const payment = await registerPayment(service, 'efi', 3 * AMOUNT);
  const idempotencyKey = randomUUID();
  const body = { payment_id: payment.id, amount: 2 * AMOUNT, reason: 'duplicate' };
  return { refundId: refundIdOfKey('rita', idempotencyKey), payment, request: { idempotencyKey, body } };
}

/** As a client does that was told to repeat. */
async function getsItsRefund(
  refundId: string,
  request: { readonly idempotencyKey: string; readonly body: object },
): Promise<void> {
  let answer: Answer;
  do answer = await service.call('POST', '/v1/refunds', request);
  while (answer.status === 503);
  expect(answer).toMatchObject({
    status: 202,
    body: { id: refundId, status: 'requires_approval', amount: 2 * AMOUNT, approval: { missing: 2 } },
  });
}

async function isRunning(refundId: string): Promise<boolean> {
  const described = await forger
    .handleOf(refundId)
    .describe()
    .catch(() => null);
  return described?.status.name === 'RUNNING';
}

/** A run is there, and shows that it waits for so many votes. */
async function waitsFor(asked: Asked, missing: number): Promise<void> {
  await until(async () => {
    const details = forger
      .handleOf(asked.id)
      .query<{ currentDetails: string }>('__temporal_workflow_metadata');
    const shown = await details.catch(() => null);
    return shown?.currentDetails.includes(`${missing} of 2 approvals`) === true;
  });
}

async function succeedsAfter(asked: Asked, voter: string): Promise<void> {
  expect(sentFor(asked)).toEqual([]);
  expect(await vote(service, asked, voter)).toMatchObject({ status: 200 });
  expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
  expect(sentFor(asked)).toMatchObject([{ amountMinor: AMOUNT }]);
}

function sentFor({ provider, providerPaymentId }: Asked) {
  return service.simulators.refundsOf(provider, providerPaymentId);
}

function resolve({ id }: Asked): Promise<Answer> {
  const body = { outcome: 'succeeded', evidence: 'their support' };
  return act(service, id, 'resolve', { actor: 'olga', role: 'operator', body });
}

/** Our call's answer is lost, and somebody makes an equal refund in the panel: no reading tells them apart. */
async function refundInReview(): Promise<Asked> {
  await service.simulators.inject('braspag', { operation: 'submit', name: 'timeout_after_effect' });
  const asked = await askForRefund(service, { provider: 'braspag', amount: 10, paid: 100 });
  await until(async () => sentFor(asked).length > 0);
  service.simulators.addPanelRefund('braspag', asked.providerPaymentId, 10);
  await refundWhen(service, asked.id, ({ status }) => status === 'review');
  return asked;
}

/** Its call was lost on the way, a cancel was refused meanwhile, and then an operator stopped the provider. */
async function refundThatWasOnceOnItsWay(): Promise<Asked> {
  await service.simulators.inject('fourgeeks', { operation: 'submit', name: 'reset_before_effect' });
  const asked = await askForRefund(service, { provider: 'fourgeeks', amount: 10 });
  await refundWhen(service, asked.id, ({ pending_reason: why }) => why === 'outcome_unknown');
  expect(await cancel(service, asked.id)).toMatchObject(problem(409, 'not_cancelable'));
  const stop = { actor: 'olga', role: 'operator', body: { reason: 'a test' } } as const;
  expect(await service.call('POST', '/v1/providers/fourgeeks/pause', stop)).toMatchObject({ status: 200 });
  await refundWhen(service, asked.id, ({ pending_reason: why }) => why === 'provider_unavailable');
  return asked;
}

function inDays(days: number): string {
  return new Date(Date.now() + days * DAY_MS).toISOString();
}
