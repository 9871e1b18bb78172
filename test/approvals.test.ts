import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { refundWorkflowId } from '../workflows/messages.js';
import {
  act,
  askForRefund,
  cancel,
  contentHashOf,
  extend,
  refundOf,
  standingOf,
  startServiceUnder,
  trailOf,
  vote,
  type Ask,
  type Asked,
} from './setup/people-at-the-door.js';
import { assertBooks } from './setup/books.js';
import { until } from './setup/eventually.js';
import { isFinal, refundWhen, registerPayment, type AnswerBody, type Service } from './setup/service.js';
import { startSkipping } from './setup/skipped-time.js';

const ONE = 1_000;
const TWO = 5_000;
const DAILY_BY_ACTOR = 500_000;
const DAILY_BY_PROVIDER = 600_000;
const DAY_MS = 86_400_000;
const POLICY = {
  approval: {
    rules: [
      { when: { amount_gte: ONE }, approvals: 1 },
      { when: { amount_gte: TWO }, approvals: 2 },
      { when: { reason: ['fraudulent'] }, approvals: 1 },
      { when: { provider: ['picpay'], reason: ['bank_error'] }, approvals: 3 },
      { when: { requester: ['nina'] }, approvals: 2 },
    ],
  },
  limits: { daily_by_actor: DAILY_BY_ACTOR, daily_by_provider: DAILY_BY_PROVIDER },
};

/** What an answer is to be like. */
const problem = (status: number, code: string) => ({ status, body: { code } });
const refundIs = (status: string) => ({ status: 200, body: { status } });

jest.setTimeout(30_000);

let service: Service;
/** It takes seconds to prove that nothing was sent: the others go on meanwhile. */
let secondRound: Promise<void>;
beforeAll(async () => {
  service = await startServiceUnder(POLICY);
  secondRound = lifeOfTwoRounds();
  secondRound.catch(() => undefined);
});
afterAll(async () => {
  await Promise.allSettled([secondRound]);
  await assertBooks(service.db);
  await service.close();
});

describe('the policy says how many must agree', () => {
  const cases: { readonly of: string; readonly ask: Ask; readonly required: number }[] = [
    { of: 'an amount below every rule', ask: { amount: ONE - 1 }, required: 0 },
    { of: 'an amount that reaches a rule', ask: { amount: ONE }, required: 1 },
    { of: 'an amount that reaches the next rule', ask: { amount: TWO }, required: 2 },
    { of: 'its reason', ask: { amount: 1, reason: 'fraudulent' }, required: 1 },
    { of: 'its reason elsewhere', ask: { amount: 1, reason: 'bank_error' }, required: 0 },
    {
      of: 'its reason at this provider',
      ask: { amount: 1, reason: 'bank_error', provider: 'picpay' },
      required: 3,
    },
    { of: 'who asks', ask: { amount: 1, actor: 'nina' }, required: 2 },
    { of: 'the highest of all that match', ask: { amount: TWO, reason: 'fraudulent' }, required: 2 },
  ];
  it.concurrent.each(cases)(
    'for $of: $required, in the preview and on the refund',
    async ({ ask, required }) => {
      const asked = await askForRefund(service, ask);
      const { amount, reason = 'duplicate', actor = 'rita', provider = 'efi' } = ask;
      const another = await registerPayment(service, provider, 20_000);
      const body = { payment_id: another.id, amount, reason };
      const preview = await service.call('POST', '/v1/refunds/preview', { body, actor });
      expect(preview).toMatchObject({ status: 200, body: { approval: { required } } });
      if (required === 0) {
        const refund = await refundWhen(service, asked.id, isFinal);
        expect(refund).toMatchObject({ status: 'succeeded', approval: null });
        return;
      }
      expect(await refundOf(service, asked.id)).toMatchObject({
        status: 'requires_approval',
        pending_reason: null,
        approval: { state: 'pending', required, missing: required, votes: [] },
      });
      expectNothingSent(asked);
    },
  );

  it.concurrent('for what the payment already had as well, so that splitting does not help', async () => {
    const first = await askForRefund(service, { amount: 600, paid: 6_000 });
    await refundWhen(service, first.id, isFinal);
    const half = (amount: number) => askOn(first.paymentId, amount);
    // Both at once: whichever is second finds the first one reserved.
    const both = await Promise.all([half(200), half(200)]);
    expect(both.map(({ status }) => status).sort()).toEqual(['pending', 'requires_approval']);
    expect(await half(1)).toMatchObject({ status: 'requires_approval', approval: { required: 1 } });
    expect(await half(3_999)).toMatchObject({ status: 'requires_approval', approval: { required: 2 } });
  });
});

describe('the policy says how much may be asked for in a day', () => {
  it('by one person, and of one provider', async () => {
    await askForRefund(service, { provider: 'picpay', amount: DAILY_BY_ACTOR, actor: 'lena' });
    const payment = await registerPayment(service, 'efi', 10_000);
    const beyond = await ask({ payment_id: payment.id, amount: 1 }, 'lena');
    expect(beyond).toMatchObject(problem(422, 'limit_exceeded'));
    expect(beyond.body['errors']).toMatchObject([{ code: 'limit_exceeded', pointer: '/amount' }]);

    const another = await registerPayment(service, 'picpay', DAILY_BY_ACTOR);
    const left = DAILY_BY_PROVIDER - (await requestedAt('picpay'));
    expect(await ask({ payment_id: another.id, amount: left + 1 }, 'lars')).toMatchObject(
      problem(422, 'limit_exceeded'),
    );
    expect((await service.call('GET', `/v1/payments/${another.id}`)).body).toMatchObject({
      amount_reserved: 0,
    });
    expect(await ask({ payment_id: another.id, amount: left }, 'lars')).toMatchObject({ status: 202 });
  });
});

describe('a vote', () => {
  it.concurrent(
    'that is the only one needed sends the refund, once, and both are told in the trail',
    async () => {
      const asked = await askForRefund(service);
      const body = { content_hash: asked.contentHash, comment: 'Checked with the shop.' };
      const answer = await act(service, asked.id, 'approve', { actor: 'ana', role: 'approver', body });
      expect(answer).toMatchObject({ status: 200, body: { approval: { state: 'approved', missing: 0 } } });
      expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({
        status: 'succeeded',
        approval: {
          state: 'approved',
          required: 1,
          missing: 0,
          votes: [
            {
              actor: 'ana',
              decision: 'approve',
              comment: 'Checked with the shop.',
              created_at: expect.any(String),
            },
          ],
        },
      });
      expectSentOnce(asked, ONE);
      const trail = await trailOf(service, asked.id);
      expect(trail.slice(0, 3)).toMatchObject([
        { type: 'refund_created', actor: 'rita', data: { approval: { required: 1 } } },
        { type: 'vote_cast', actor: 'ana', data: { decision: 'approve', content_hash: asked.contentHash } },
        { type: 'refund_approved', actor: 'ana' },
      ]);
    },
  );

  it.concurrent('of two that are needed leaves it waiting, where Temporal’s search finds it', async () => {
    const asked = await askForRefund(service, { amount: TWO, paid: TWO });
    await found(asked, "RefundStatus = 'requires_approval' AND RefundVotesMissing = 2");
    const first = await vote(service, asked, 'ana');
    expect(first).toMatchObject({
      status: 200,
      body: { status: 'requires_approval', approval: { state: 'pending', required: 2, missing: 1 } },
    });
    expectNothingSent(asked);
    const { expires_at: until } = first.body['approval'] as { expires_at: string };
    const beforeMs = Date.parse(until) + 1;
    await found(
      asked,
      `RefundStatus = 'requires_approval' AND RefundVotesMissing = 1 AND RefundApprovalUntil < '${new Date(beforeMs).toISOString()}'`,
    );
    const details = await detailsOf(asked);
    expect(details).toContain('1 of 2 approvals are missing');
    expect(details).toContain(`Votes count until ${until}`);

    expect(await vote(service, asked, 'bruno')).toMatchObject({ status: 200 });
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
    expectSentOnce(asked, TWO);
    await found(asked, "RefundStatus = 'succeeded' AND RefundVotesMissing IS NULL");
  });

  it.concurrent('against it ends it, whoever was for it, and gives the amount back', async () => {
    const asked = await askForRefund(service, { amount: TWO, paid: TWO });
    await vote(service, asked, 'ana');
    expect(await vote(service, asked, 'bruno', 'reject')).toMatchObject({
      status: 200,
      body: { status: 'rejected', approval: { state: 'rejected', missing: 1 } },
    });
    await expectGivenBack(asked, 'rejected');
    await found(asked, "RefundStatus = 'rejected' AND RefundVotesMissing IS NULL");
  });

  it.concurrent('counts once for each person, however often and however fast it comes', async () => {
    const asked = await askForRefund(service, { amount: TWO });
    const answers = await Promise.all(Array.from({ length: 6 }, () => vote(service, asked, 'ana')));
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 200, body: { approval: { missing: 1 } } });
    }
    const decided = await Promise.all([
      vote(service, asked, 'bruno'),
      vote(service, asked, 'bruno', 'reject'),
    ]);
    // One of the two was first, and a second word of the same person is none.
    expect(decided.map(({ status }) => status).sort()).toEqual([200, 409]);
    const { approval } = await refundWhen(service, asked.id, isFinal);
    expect((approval as { votes: unknown[] }).votes).toHaveLength(2);
  });

  it.concurrent('waits for nobody in the list of those that do', async () => {
    const [waiting, done] = [await askForRefund(service, { actor: 'lisa' }), await askForRefund(service)];
    await vote(service, done, 'ana');
    const { body } = await service.call(
      'GET',
      `/v1/refunds?status=requires_approval&payment_id=${waiting.paymentId}`,
    );
    expect(body['data']).toMatchObject([
      { id: waiting.id, approval: { missing: 1, requested_at: expect.any(String) } },
    ]);
    const other = await service.call(
      'GET',
      `/v1/refunds?status=requires_approval&payment_id=${done.paymentId}`,
    );
    expect(other.body['data']).toEqual([]);
  });
});

describe('a vote that does not count', () => {
  interface Bad {
    readonly actor: string;
    readonly role?: 'approver' | 'operator';
    readonly decision?: 'approve' | 'reject';
    readonly hash?: string;
    readonly code: string;
  }
  const STATUS: Readonly<Record<string, number>> = {
    approval_conflict: 409,
    already_final: 409,
    self_approval_forbidden: 403,
    forbidden: 403,
  };
  const another = 'f'.repeat(64);
  const bad: readonly Bad[] = [
    { actor: 'bruno', hash: another, code: 'approval_conflict' },
    { actor: 'ana', decision: 'reject', code: 'approval_conflict' },
    { actor: 'rita', code: 'self_approval_forbidden' },
    { actor: 'rita', decision: 'reject', code: 'self_approval_forbidden' },
    { actor: 'rita', hash: another, code: 'self_approval_forbidden' },
    { actor: 'olga', role: 'operator', code: 'forbidden' },
  ];
  it.concurrent.each(bad)('is told why, in the trail too, and changes nothing: %j', async (each) => {
    const asked = await askForRefund(service, { amount: TWO });
    await vote(service, asked, 'ana');
    await expectRefused(asked, each);
    await vote(service, asked, 'bruno');
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({ status: 'succeeded' });
  });

  it.concurrent('because it comes too late, whatever the refund has become', async () => {
    const [succeeded, rejected, canceled, expired, unasked] = await Promise.all([
      askForRefund(service),
      askForRefund(service),
      askForRefund(service),
      askForRefund(service),
      askForRefund(service, { amount: 1 }),
    ]);
    await Promise.all([
      vote(service, succeeded, 'ana'),
      vote(service, rejected, 'ana', 'reject'),
      cancel(service, canceled.id),
      startSkipping(service.client, refundWorkflowId(expired.id)),
    ]);
    const ended = [succeeded, rejected, canceled, expired, unasked];
    const refunds = await Promise.all(ended.map(({ id }) => refundWhen(service, id, isFinal)));
    expect(refunds.map(({ status }) => status)).toEqual([
      ...['succeeded', 'rejected', 'canceled', 'expired', 'succeeded'],
    ]);
    const late = { actor: 'bruno', code: 'already_final' };
    await Promise.all(ended.map((asked) => expectRefused(asked, { hash: another, ...late })));
    await expectRefused(succeeded, late);
    await expectRefused(rejected, { ...late, actor: 'ana' });
    // One's own vote again is no late one: its answer was lost.
    const before = await standingOf(service, succeeded);
    expect(await vote(service, succeeded, 'ana')).toMatchObject({ status: 200 });
    expect(await standingOf(service, succeeded)).toEqual(before);
  });

  it.concurrent('because it is none: 400', async () => {
    const asked = await askForRefund(service);
    const before = await standingOf(service, asked);
    const bodies = [
      undefined,
      {},
      { content_hash: 1 },
      { content_hash: '' },
      { content_hash: asked.contentHash, actor: 'ana' },
      { content_hash: asked.contentHash, comment: 'x'.repeat(501) },
    ];
    for (const body of bodies) {
      const answer = await act(service, asked.id, 'approve', { actor: 'ana', role: 'approver', body });
      expect([body, answer.status, answer.body.code]).toEqual([body, 400, 'invalid_request']);
    }
    expect(await standingOf(service, asked)).toEqual(before);
  });

  it.concurrent('because there is no such refund: 404, for who may vote alone', async () => {
    const nowhere = { id: 'rfd_none', contentHash: another };
    expect(await vote(service, nowhere, 'ana')).toMatchObject(problem(404, 'not_found'));
    const uninvited = { actor: 'vera', role: 'viewer', body: { content_hash: another } } as const;
    expect(await act(service, 'rfd_none', 'approve', uninvited)).toMatchObject(problem(403, 'forbidden'));
  });

  async function expectRefused(asked: Asked, each: Bad): Promise<void> {
    const { actor, role = 'approver', decision = 'approve', hash = asked.contentHash, code } = each;
    const before = await standingOf(service, asked);
    const trail = await trailOf(service, asked.id);
    const answer = await act(service, asked.id, decision, { actor, role, body: { content_hash: hash } });
    expect([answer.status, answer.body.code]).toEqual([STATUS[code], code]);
    expect(await standingOf(service, asked)).toEqual(before);
    expect((await trailOf(service, asked.id)).slice(trail.length)).toMatchObject([
      { type: 'vote_refused', actor, data: { action: decision, code, content_hash: hash } },
    ]);
  }
});

describe('an operator, or who asks for refunds, cancels one', () => {
  it('while it waits for votes; again is the same, and nobody votes on it any more', async () => {
    const [byOperator, byRequester] = [await askForRefund(service), await askForRefund(service)];
    const body = { reason: 'The customer kept the goods.' };
    const first = await act(service, byOperator.id, 'cancel', { actor: 'olga', role: 'operator', body });
    expect(first).toMatchObject({
      status: 200,
      body: { status: 'canceled', approval: { state: 'canceled' } },
    });
    await expectGivenBack(byOperator, 'canceled');
    expect((await trailOf(service, byOperator.id)).at(-1)).toMatchObject({
      type: 'refund_canceled',
      actor: 'olga',
      reason: 'The customer kept the goods.',
    });
    const ended = await standingOf(service, byOperator);
    expect(await cancel(service, byOperator.id)).toMatchObject(refundIs('canceled'));
    expect(await standingOf(service, byOperator)).toEqual(ended);

    expect(await cancel(service, byRequester.id)).toMatchObject(refundIs('canceled'));
    await expectGivenBack(byRequester, 'canceled');
  });

  it('without the role: 403; with a body that is none: 400; where there is none: 404', async () => {
    const asked = await askForRefund(service);
    const before = await standingOf(service, asked);
    expect(await cancel(service, asked.id, 'approver')).toMatchObject(problem(403, 'forbidden'));
    const body = { why: 'x' };
    expect(await act(service, asked.id, 'cancel', { actor: 'olga', role: 'operator', body })).toMatchObject(
      problem(400, 'invalid_request'),
    );
    expect(await cancel(service, 'rfd_none')).toMatchObject({ status: 404 });
    expect(await standingOf(service, asked)).toEqual(before);
  });

  it('while its provider is down, or the account is empty', async () => {
    await Promise.all([
      service.simulators.inject('pagou', { operation: 'read', name: 'down' }),
      service.simulators.inject('braspag', { operation: 'submit', name: 'insufficient_balance', times: 99 }),
    ]);
    const [down, empty] = await Promise.all([
      askForRefund(service, { provider: 'pagou', amount: 10 }),
      askForRefund(service, { provider: 'braspag' }),
    ]);
    await vote(service, empty, 'ana');
    await refundWhen(service, down.id, ({ pending_reason: why }) => why === 'provider_unavailable');
    await refundWhen(service, empty.id, ({ pending_reason: why }) => why === 'insufficient_balance');
    for (const asked of [down, empty]) {
      expect(await cancel(service, asked.id)).toMatchObject(refundIs('canceled'));
    }
    await Promise.all([service.simulators.clearFaults('pagou'), service.simulators.clearFaults('braspag')]);
    await expectGivenBack(down, 'canceled');
    await expectGivenBack(empty, 'canceled');
  });

  it('while it is queued behind another of its payment; but never one that the provider has accepted', async () => {
    await service.simulators.inject('efi', { operation: 'submit', name: 'never_confirms' });
    const accepted = await askForRefund(service, { amount: 10, paid: 100 });
    await refundWhen(service, accepted.id, () => refundsShown(accepted).length > 0);
    const queued = { ...accepted, id: (await askOn(accepted.paymentId, 20)).id };
    await refundWhen(service, queued.id, ({ pending_reason: why }) => why === 'queued');
    expect(await cancel(service, queued.id)).toMatchObject(refundIs('canceled'));
    expect(await resultOf(queued)).toEqual({ status: 'canceled' });

    const before = await standingOf(service, accepted);
    expect(await cancel(service, accepted.id)).toMatchObject(problem(409, 'not_cancelable'));
    expect(await standingOf(service, accepted)).toEqual(before);
    service.simulators.setRefundStatus(
      'efi',
      accepted.providerPaymentId,
      refundsShown(accepted)[0]!.id,
      'succeeded',
    );
    await refundWhen(service, accepted.id, ({ status }) => status === 'succeeded');
    expect(await cancel(service, accepted.id)).toMatchObject(problem(409, 'not_cancelable'));
    expectSentOnce(accepted, 10);
  });
});

describe('an operator gives people more time', () => {
  it('later than before and within the window; the same end again changes nothing', async () => {
    const asked = await askForRefund(service);
    const { approval, refund_deadline: deadline } = await refundOf(service, asked.id);
    const endsAtMs = Date.parse((approval as { expires_at: string }).expires_at);
    const at = (ms: number): string => new Date(ms).toISOString();
    const before = await standingOf(service, asked);
    const refusals = [
      [at(endsAtMs - 1), 400, 'invalid_request'],
      [at(Date.parse(String(deadline))), 422, 'extension_beyond_window'],
      ['2999-01-01T00:00:00Z', 422, 'extension_beyond_window'],
      ['tomorrow', 400, 'invalid_request'],
    ] as const;
    for (const [end, status, code] of refusals) {
      expect(await extend(service, asked.id, end)).toMatchObject({ status, body: { code } });
    }
    expect(await extend(service, asked.id, at(endsAtMs))).toMatchObject({ status: 200 });
    expect(await standingOf(service, asked)).toEqual(before);

    const later = at(endsAtMs + 10 * DAY_MS);
    expect(await extend(service, asked.id, later)).toMatchObject({
      status: 200,
      body: { status: 'requires_approval', approval: { expires_at: later, missing: 1 } },
    });
    const extended = await standingOf(service, asked);
    expect(await extend(service, asked.id, later)).toMatchObject({ status: 200 });
    expect(await standingOf(service, asked)).toEqual(extended);
    expect((await trailOf(service, asked.id)).at(-1)).toMatchObject({
      type: 'approval_extended',
      actor: 'olga',
      data: { expired_at: at(endsAtMs), expires_at: later },
    });
    await found(asked, `RefundApprovalUntil > '${at(endsAtMs + DAY_MS)}'`);
    await vote(service, asked, 'ana');
    await refundWhen(service, asked.id, isFinal);
  });

  it('without the role: 403; where nobody waits: 409', async () => {
    const asked = await askForRefund(service);
    const later = new Date(Date.now() + 20 * DAY_MS).toISOString();
    const body = { expires_at: later };
    expect(await act(service, asked.id, 'extend', { actor: 'ana', role: 'approver', body })).toMatchObject(
      problem(403, 'forbidden'),
    );
    await vote(service, asked, 'ana', 'reject');
    const ended = await standingOf(service, asked);
    expect(await extend(service, asked.id, later)).toMatchObject(problem(409, 'already_final'));
    expect(await standingOf(service, asked)).toEqual(ended);
  });
});

describe('with the last vote', () => {
  it.each([
    { provider: 'efi', panel: 1_500, word: 'amount_exceeds_available' },
    { provider: 'pagou', panel: 2_000, word: 'payment_not_refundable' },
  ] as const)(
    'all is checked again: $word where the panel of $provider was faster, and nothing is sent',
    async ({ provider, panel, word }) => {
      const asked = await askForRefund(service, { provider });
      service.simulators.addPanelRefund(provider, asked.providerPaymentId, panel);
      await vote(service, asked, 'ana');
      expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({
        status: 'failed',
        failure_reason: word,
        approval: { state: 'approved', missing: 0 },
      });
      expect((await service.call('GET', `/v1/payments/${asked.paymentId}`)).body).toMatchObject({
        amount_reserved: 0,
        amount_refunded: 0,
        amount_external: panel,
      });
      expect(refundsShown(asked)).toMatchObject([{ origin: 'panel' }]);
    },
  );
});

describe('a refund that a person has sent again', () => {
  it('waits for votes on what is new, and not of who ordered it', async () => {
    await secondRound;
  });
});

describe('votes outlive', () => {
  it('the workers and the front door, between one vote and the next', async () => {
    const asked = await askForRefund(service, { amount: TWO });
    await vote(service, asked, 'ana');
    await service.stopWorkers();
    await service.restartApi();
    await service.startWorkers();
    expect(await vote(service, asked, 'bruno')).toMatchObject({ status: 200 });
    expect(await refundWhen(service, asked.id, isFinal)).toMatchObject({
      status: 'succeeded',
      approval: { votes: [{ actor: 'ana' }, { actor: 'bruno' }] },
    });
    expectSentOnce(asked, TWO);
  });
});

async function lifeOfTwoRounds(): Promise<void> {
  const provider = 'fourgeeks';
  await service.simulators.inject(provider, { operation: 'submit', name: 'reset_before_effect', times: 2 });
  const first = await askForRefund(service, { provider });
  await vote(service, first, 'ana');
  await refundWhen(service, first.id, ({ status }) => status === 'review', 25_000);
  const body = { outcome: 'resend', evidence: 'Their support sees nothing.' };
  const resent = await act(service, first.id, 'resolve', { actor: 'olga', role: 'operator', body });
  expect(resent).toMatchObject({
    status: 200,
    body: {
      status: 'requires_approval',
      approval: { state: 'pending', required: 1, missing: 1, votes: [] },
    },
  });
  const again = { ...first, contentHash: contentHashOf(resent.body) };
  expect(again.contentHash).not.toBe(first.contentHash);
  for (const actor of ['rita', 'olga']) {
    expect(await vote(service, again, actor)).toMatchObject(problem(403, 'self_approval_forbidden'));
  }
  // Of the first round: it was a vote then, and is none now.
  for (const actor of ['ana', 'bruno']) {
    expect(await vote(service, first, actor)).toMatchObject(problem(409, 'approval_conflict'));
  }
  expectNothingSent(first);
  expect(await vote(service, again, 'bruno')).toMatchObject({ status: 200 });
  expect(await refundWhen(service, first.id, isFinal)).toMatchObject({
    status: 'succeeded',
    approval: { votes: [{ actor: 'bruno' }] },
  });
  expectSentOnce(first, ONE);
}

function ask(body: object, actor = 'rita') {
  const idempotencyKey = `by-hand-${Math.random()}`;
  return service.call('POST', '/v1/refunds', {
    idempotencyKey,
    actor,
    body: { reason: 'duplicate', ...body },
  });
}

async function requestedAt(provider: string): Promise<number> {
  const { body } = await service.call('GET', `/v1/refunds?provider=${provider}&limit=100`);
  return (body['data'] as { amount: number }[]).reduce((sum, { amount }) => sum + amount, 0);
}

async function askOn(paymentId: string, amount: number): Promise<AnswerBody> {
  const { status, body } = await ask({ payment_id: paymentId, amount });
  expect(status).toBe(202);
  return body;
}

function refundsShown({ provider, providerPaymentId }: Asked) {
  return service.simulators.refundsOf(provider, providerPaymentId);
}

function expectNothingSent(asked: Asked): void {
  expect(refundsShown(asked)).toEqual([]);
}

function expectSentOnce(asked: Asked, amountMinor: number): void {
  expect(refundsShown(asked)).toMatchObject([{ amountMinor, origin: 'api' }]);
}

function resultOf({ id }: Asked): Promise<unknown> {
  return service.client.workflow.getHandle(refundWorkflowId(id)).result();
}

/** With nothing sent, and its process over. */
async function expectGivenBack(asked: Asked, status: string): Promise<void> {
  expect(await resultOf(asked)).toEqual({ status });
  expect(await refundOf(service, asked.id)).toMatchObject({ status });
  expect((await service.call('GET', `/v1/payments/${asked.paymentId}`)).body).toMatchObject({
    amount_reserved: 0,
    amount_refunded: 0,
  });
  expectNothingSent(asked);
}

/** The engine's visibility lags behind: the condition is asked for. */
async function found({ id }: Asked, query: string): Promise<void> {
  const workflowId = refundWorkflowId(id);
  await until(async () => {
    const runs = service.client.workflow.list({ query: `WorkflowId = '${workflowId}' AND ${query}` });
    for await (const run of runs) if (run.workflowId === workflowId) return true;
    return false;
  });
}

async function detailsOf({ id }: Asked): Promise<string> {
  const handle = service.client.workflow.getHandle(refundWorkflowId(id));
  const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
  return currentDetails;
}
