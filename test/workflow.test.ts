import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { defaultPayloadConverter } from '@temporalio/common';
import { ApplicationFailure } from '@temporalio/activity';
import type { ResolutionVerdict } from '../activities/interface.js';
import type { LookResult } from '../src/domain/saga-state.js';
import { resolveUpdate, retrySignal } from '../workflows/messages.js';
import { until } from './setup/eventually.js';
import { answered, inTurn, TERMS } from './setup/fake-activities.js';
import { aStart, gate, openWorkflowStage, type WorkflowStage } from './setup/workflow-stage.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SUCCEEDED = { status: 'succeeded' };
const FAILED = { status: 'failed' };
const accepted = answered({ kind: 'accepted', attempt: 1 });

let stage: WorkflowStage;
beforeAll(async () => {
  stage = await openWorkflowStage();
}, 60_000);
afterAll(() => stage.close(), 60_000);

describe('the verdict', () => {
  it('is given once, to all who ask for the same, and withheld from another body under the key', async () => {
    const start = aStart();
    const seen = stage.cast(start.refundId, {}, { submit: inTurn(accepted) });
    const admitted = { kind: 'admitted', refundId: start.refundId, firstAskId: 'ask_1' };
    expect(await stage.request(start)).toEqual(admitted);
    expect(
      await Promise.all([
        stage.request({ ...start, askId: 'ask_2' }),
        stage.request({ ...start, askId: 'ask_3', fingerprint: 'another body' }),
        stage.request({ ...start, askId: 'ask_4' }),
      ]),
    ).toEqual([admitted, { kind: 'keyReused' }, admitted]);
    await stage.stageIs(start.refundId, 'confirming');
    expect(seen).toEqual(['admit', 'submit 1']);
    await ended(start.refundId);
  });

  it('waits for a ledger that is away', async () => {
    const start = aStart();
    let asked = 0;
    stage.cast(
      start.refundId,
      {},
      {
        admit: async () => {
          asked += 1;
          if (asked < 3) throw ApplicationFailure.retryable('no database', 'LedgerUnavailable');
          return { verdict: { kind: 'replayed' } };
        },
      },
    );
    expect(await stage.request(start)).toEqual({ kind: 'replayed' });
    expect(asked).toBe(3);
  });

  it('of a refusal closes the run, which then is found as refused', async () => {
    const start = aStart();
    const refused = {
      kind: 'refused',
      broken: [{ code: 'refund_window_expired', detail: 'Too late.', pointer: '' }],
      firstAskId: 'ask_1',
    } as const;
    const seen = stage.cast(start.refundId, {}, { admit: async () => ({ verdict: refused }) });
    expect(await stage.request(start)).toEqual(refused);
    expect(await stage.resultOf(start.refundId)).toEqual({ status: 'refused' });
    expect(seen).toEqual(['admit']);
    expect(await stage.foundBy(start.refundId)).toMatchObject({ RefundStatus: 'refused' });
  });
});

describe('what people see in Temporal', () => {
  it('says in the end how it ended, by provider, payment and amount', async () => {
    const refundId = await stage.begin({}, {});
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(await stage.foundBy(refundId)).toMatchObject({
      RefundStatus: 'succeeded',
      RefundProvider: 'picpay',
      RefundPaymentId: 'pay_1',
      RefundAmount: 1050,
    });
    expect(await stage.detailsOf(refundId)).toBe('**Ended: succeeded**');
  });

  it('names each step and wait, and says what is happening and what may be done', async () => {
    const refundId = await stage.begin({}, { submit: inTurn(accepted) });
    await stage.stageIs(refundId, 'confirming');
    expect(await stage.detailsOf(refundId)).toMatch(
      /accepted it; waiting for its confirmation[^]*Attempt 1[^]*To do|Nothing to do/,
    );
    expect(
      await stage
        .handleOf(refundId)
        .describe()
        .then((run) => run.staticSummary()),
    ).toBe('Refund through picpay: 10.50 BRL');
    await ended(refundId);
    expect(await summariesOf(refundId)).toEqual([
      'Validate and reserve',
      'Refund at picpay, attempt 1',
      'provider_processing',
      'Look at picpay',
      'Settle',
    ]);
  });

  it('speaks of the refund that a queued one waits for', async () => {
    const refundId = await stage.begin(
      { needsLane: true },
      { takeLane: inTurn({ kind: 'busy', behindRefundId: 'rfd_first' }, { kind: 'taken' }) },
    );
    await stage.stageIs(refundId, 'waiting');
    await until(async () => (await stage.detailsOf(refundId)).includes('Queued behind rfd_first'));
    await signalLane(refundId);
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
  });
});

describe('a hint', () => {
  it('cuts the wait for a confirmation short and is the source of what is found', async () => {
    const refundId = await stage.begin({}, { submit: inTurn(accepted) });
    await stage.stageIs(refundId, 'confirming');
    await stage.hint(refundId, 'webhook');
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'look webhook', 'settle']);
  });

  it('whose quick look fails is followed by one on the provider’s own queue', async () => {
    const refundId = await stage.begin(
      { confirmsQuickly: true },
      {
        submit: inTurn(accepted),
        confirm: async () => {
          throw ApplicationFailure.retryable('no database', 'LedgerUnavailable');
        },
      },
    );
    await stage.stageIs(refundId, 'confirming');
    await stage.hint(refundId, 'webhook');
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    const seen = ['admit', 'submit 1', 'confirm webhook', 'look webhook', 'settle'];
    expect(stage.seenOf(refundId)).toEqual(seen);
  });

  it('from a person’s refresh counts as a poll', async () => {
    const refundId = await stage.begin({}, { submit: inTurn(accepted) });
    await stage.stageIs(refundId, 'confirming');
    await stage.hint(refundId, 'refresh');
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'look poll', 'settle']);
  });

  it('that overtakes the answer to the call is followed as soon as that answer is there', async () => {
    const answer = gate();
    const refundId = await stage.begin({}, { submit: inTurn(accepted) }, { submit: answer.opened });
    await until(async () => stage.seenOf(refundId).includes('submit 1'));
    await stage.hint(refundId, 'webhook');
    answer.open();
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'look webhook', 'settle']);
  });

  it('that finds nothing new wakes one look, not a storm of them', async () => {
    const refundId = await stage.begin(
      {},
      { submit: inTurn(accepted), look: inTurn({ kind: 'processing' }, { kind: 'landed' }) },
    );
    await stage.stageIs(refundId, 'confirming');
    await stage.hint(refundId, 'webhook');
    await until(async () => stage.seenOf(refundId).includes('look webhook'));
    await ended(refundId);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'look webhook', 'look webhook', 'settle']);
  });
});

describe('a wait before anything is sent', () => {
  const notNow = (reason: 'provider_unavailable' | 'insufficient_balance') =>
    answered({ kind: 'notNow', attempt: 0, reason, retryAfterMs: null });

  it('for a provider that is down ends when the policy’s patience does', async () => {
    const triedAtMs: number[] = [];
    const refundId = await stage.begin(
      { providerUnavailableWaitMs: 3 * DAY_MS, retryMaxMs: 6 * HOUR_MS },
      {
        submit: async ({ nowMs }) => {
          triedAtMs.push(nowMs);
          return notNow('provider_unavailable');
        },
      },
      { time: 'skipped' },
    );
    expect(await stage.resultOf(refundId)).toEqual(FAILED);
    expect(stage.seenOf(refundId).at(-1)).toBe('compensate provider_unavailable');
    const triedForMs = triedAtMs.at(-1)! - triedAtMs[0]!;
    expect(triedForMs).toBeGreaterThan(2.5 * DAY_MS);
    expect(triedForMs).toBeLessThanOrEqual(3 * DAY_MS);
  });

  it('for balance ends when the account is funded', async () => {
    const empty = notNow('insufficient_balance');
    const refundId = await stage.begin(
      {},
      { submit: inTurn(empty, empty, empty, answered({ kind: 'done', attempt: 1 })) },
      { time: 'skipped' },
    );
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', ...Array<string>(4).fill('submit 1'), 'settle']);
  });

  it('ends with the window, without a call after it', async () => {
    const refundId = await stage.begin(
      { needsLane: true, submitBeforeMs: Date.now() + HOUR_MS / 4 },
      { takeLane: async () => ({ kind: 'busy', behindRefundId: 'rfd_first' }) },
      { time: 'skipped' },
    );
    expect(await stage.resultOf(refundId)).toEqual(FAILED);
    const seen = stage.seenOf(refundId);
    expect(seen.at(-1)).toBe('compensate refund_window_expired');
    expect(new Set(seen.slice(1, -1))).toEqual(new Set(['takeLane']));
  });

  it('in the queue ends with the word of the refund before it', async () => {
    const answer = gate();
    let free = false;
    const behind = aStart();
    const first = await stage.begin(
      { needsLane: true },
      {
        settle: async () => {
          free = true;
          return { kind: 'closed', status: 'succeeded', wakeRefundId: behind.refundId };
        },
      },
      { submit: answer.opened },
    );
    stage.cast(
      behind.refundId,
      { needsLane: true },
      { takeLane: async () => (free ? { kind: 'taken' } : { kind: 'busy', behindRefundId: first }) },
    );
    await stage.request(behind);
    await until(async () => (await stage.detailsOf(behind.refundId)).includes(`Queued behind ${first}`));
    answer.open();
    expect(await stage.resultOf(behind.refundId)).toEqual(SUCCEEDED);
    const events = await stage.eventsOf(behind.refundId);
    const woken = events.findIndex((event) => event.workflowExecutionSignaledEventAttributes);
    expect(events[woken]?.workflowExecutionSignaledEventAttributes?.signalName).toBe(retrySignal.name);
    expect(events.slice(woken).filter((event) => event.timerFiredEventAttributes)).toEqual([]);
  });

  it('that grows long goes on in new runs, and forgets neither verdict nor patience', async () => {
    const start = aStart();
    let asked = 0;
    const seen = stage.cast(
      start.refundId,
      { needsLane: true, retryMaxMs: 5 },
      {
        takeLane: async () => {
          asked += 1;
          return asked < 40 ? { kind: 'busy', behindRefundId: 'rfd_first' } : { kind: 'taken' };
        },
        submit: inTurn(accepted),
      },
    );
    const verdict = await stage.request(start);
    await stage.stageIs(start.refundId, 'confirming');
    const { raw } = await stage.handleOf(start.refundId).describe();
    const { firstRunId, execution } = raw.workflowExecutionInfo ?? {};
    expect(execution?.runId).not.toBe(firstRunId);
    expect(await stage.request({ ...start, askId: 'ask_2' })).toEqual(verdict);
    expect(await stage.request({ ...start, askId: 'ask_3', fingerprint: 'another body' })).toEqual({
      kind: 'keyReused',
    });
    await ended(start.refundId);
    expect(seen.filter((step) => step !== 'takeLane')).toEqual([
      'admit',
      'submit 1',
      'look webhook',
      'settle',
    ]);
  }, 30_000);
});

describe('an unclear call', () => {
  const unknown = (attempt: number) =>
    answered({ kind: 'unknown', attempt, firstSentAtMs: Date.now(), resendAfterMs: null });
  const absent = { kind: 'absent', proven: true, quietUntilMs: 0, accepted: false } as const;

  it('whose activity fails for good is looked for, never simply sent again', async () => {
    const refundId = await stage.begin(
      {},
      {
        submit: async () => {
          throw ApplicationFailure.nonRetryable('a bug', 'Unexpected');
        },
      },
    );
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'look poll', 'settle']);
  });

  it('is sent again once where it is provably not there, and after that is for a person', async () => {
    const refundId = await stage.begin(
      {},
      {
        submit: async ({ attempt }) => unknown(attempt),
        look: inTurn<Awaited<ReturnType<Look>>>(absent, absent, { kind: 'landed' }),
      },
      { time: 'skipped' },
    );
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual([
      'admit',
      'submit 1',
      'look poll',
      'submit 2',
      'look poll',
      'review',
      'look poll',
      'settle',
    ]);
  });

  it('is repeated under the same number where the provider has idempotency keys', async () => {
    const refundId = await stage.begin(
      { idempotentSubmit: true },
      { submit: inTurn(unknown(1), unknown(1), answered({ kind: 'done', attempt: 1 })) },
      { time: 'skipped' },
    );
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'submit 1', 'submit 1', 'settle']);
  });

  it('declined where an earlier sending may be the reason is read before it fails', async () => {
    const refundId = await stage.begin(
      {},
      {
        submit: inTurn(answered({ kind: 'declined', attempt: 1, resolveFirst: true })),
        look: inTurn<Awaited<ReturnType<Look>>>(absent),
      },
    );
    expect(await stage.resultOf(refundId)).toEqual(FAILED);
    expect(stage.seenOf(refundId)).toEqual([
      'admit',
      'submit 1',
      'look poll',
      'compensate provider_declined',
    ]);
  });
});

describe('a run that takes the place of a lost one', () => {
  it('begins by reading where an attempt was claimed, and sends nothing before that', async () => {
    const start = aStart();
    const verdict = { kind: 'replayed' } as const;
    const resume = { terms: TERMS, attempt: 1, firstSentAtMs: null, resends: 0, inReview: false };
    const seen = stage.cast(start.refundId, {}, { admit: async () => ({ verdict, resume }) });
    expect(await stage.request(start)).toEqual(verdict);
    expect(await stage.resultOf(start.refundId)).toEqual(SUCCEEDED);
    expect(seen).toEqual(['admit', 'look poll', 'settle']);
  });
});

describe('the end', () => {
  it('that the ledger refuses is looked into before it is tried again', async () => {
    const refundId = await stage.begin(
      {},
      {
        settle: inTurn<Awaited<ReturnType<Settle>>>(
          { kind: 'refused', why: 'the attempt is open' },
          { kind: 'closed', status: 'succeeded', wakeRefundId: null },
        ),
      },
      { time: 'skipped' },
    );
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'settle', 'look poll', 'settle']);
  });

  it('comes by itself in review, which keeps on reading', async () => {
    const refundId = await stage.begin(
      {},
      {
        submit: inTurn(accepted),
        look: inTurn<Awaited<ReturnType<Look>>>(
          { kind: 'cannotTell', why: 'two new refunds' },
          { kind: 'cannotTell', why: 'two new refunds' },
          { kind: 'unavailable', retryAfterMs: null },
        ),
        watch: async () => ({ kind: 'landed' }),
      },
      { time: 'skipped' },
    );
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    const seen = stage.seenOf(refundId);
    expect(seen.slice(0, 4)).toEqual(['admit', 'submit 1', 'look poll', 'review']);
    expect(seen.slice(-2)).toEqual(['watch', 'settle']);
    expect(new Set(seen.slice(4, -2))).toEqual(new Set(['look poll']));
  });
});

describe('the long silence', () => {
  const quickLooks = { pollMs: 5 };

  it('is kept by one activity, whose retries are the looks', async () => {
    let looks = 0;
    const refundId = await stage.begin(quickLooks, {
      submit: inTurn(accepted),
      look: async () => ({ kind: 'processing' }),
      watch: async () => {
        looks += 1;
        if (looks < 3) throw notDecidedYet('1ms');
        return { kind: 'landed' };
      },
    });
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    const seen = stage.seenOf(refundId);
    expect(seen.slice(-4)).toEqual(['watch', 'watch', 'watch', 'settle']);
    expect(seen.filter((step) => step === 'look poll')).toHaveLength(6);
  });

  it('is broken by a hint, after which a look of its own follows', async () => {
    let landed = false;
    const refundId = await stage.begin(quickLooks, {
      submit: inTurn(accepted),
      look: async () => ({ kind: landed ? 'landed' : 'processing' }),
      watch: async () => {
        throw notDecidedYet('1h');
      },
    });
    await until(async () => stage.seenOf(refundId).includes('watch'));
    landed = true;
    await stage.hint(refundId, 'webhook');
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId).slice(-3)).toEqual(['watch', 'look webhook', 'settle']);
  });
});

describe('a person’s decision about a review', () => {
  const unclear = answered({ kind: 'unknown', attempt: 1, firstSentAtMs: 0, resendAfterMs: null });
  const cannotTell = { kind: 'cannotTell', why: 'two new refunds' } as const;
  const resolving = (verdict: ResolutionVerdict) => ({ verdict, wakeRefundId: null });
  const closed = { kind: 'closed', status: 'failed' } as const;

  it('ends it', async () => {
    const refundId = await stage.begin(
      {},
      { submit: inTurn(unclear), look: inTurn(cannotTell), resolve: inTurn(resolving(closed)) },
    );
    await stage.stageIs(refundId, 'review');
    expect(await decide(refundId)).toEqual(closed);
    expect(await stage.resultOf(refundId)).toEqual(FAILED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'look poll', 'review', 'resolve failed']);
  });

  it('is refused at once where there is none', async () => {
    const refundId = await stage.begin(
      {},
      { submit: inTurn(accepted), look: inTurn<LookResult>({ kind: 'processing' }, { kind: 'landed' }) },
    );
    await stage.stageIs(refundId, 'confirming');
    expect(await decide(refundId)).toEqual({ kind: 'notInReview' });
    // The ledger may know of a review before its run does: a look tells.
    await until(async () => stage.seenOf(refundId).includes('look poll'));
    await ended(refundId);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'look poll', 'look webhook', 'settle']);
  });

  it('is never carried out in a later review', async () => {
    const first = gate();
    const refundId = await stage.begin(
      {},
      {
        submit: async ({ attempt }) => answered({ ...unclear.result, attempt }),
        look: inTurn(cannotTell),
        resolve: async () => {
          await first.opened;
          return resolving({ kind: 'resend', attempt: 1 });
        },
      },
    );
    await stage.stageIs(refundId, 'review');
    const decisions = [decide(refundId)];
    await until(async () => stage.seenOf(refundId).includes('resolve failed'));
    decisions.push(decide(refundId));
    await until(async () => (await updatesOf(refundId)) === 3);
    first.open();
    expect(await Promise.all(decisions)).toEqual([{ kind: 'resend', attempt: 1 }, { kind: 'notInReview' }]);
    await until(async () => stage.seenOf(refundId).filter((step) => step === 'review').length === 2);
    await stage.stageIs(refundId, 'review');
    expect(stage.seenOf(refundId).slice(4)).toEqual(['resolve failed', 'submit 2', 'look poll', 'review']);
  });

  it('comes too late where the provider decides first', async () => {
    const looking = gate();
    let looks = 0;
    const refundId = await stage.begin(
      {},
      {
        submit: inTurn(unclear),
        look: async () => {
          looks += 1;
          if (looks === 1) return cannotTell;
          await looking.opened;
          return { kind: 'landed' };
        },
      },
    );
    await stage.stageIs(refundId, 'review');
    await stage.hint(refundId, 'webhook');
    await until(async () => looks === 2);
    const decision = decide(refundId);
    await until(async () => (await updatesOf(refundId)) === 2);
    looking.open();
    expect(await decision).toEqual({ kind: 'notInReview' });
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId).slice(-2)).toEqual(['look webhook', 'settle']);
  });

  it('that is contradicted leaves the review as it is, and what was read may end it', async () => {
    const contradicted = { kind: 'contradicted', why: 'it is done' } as const;
    const refundId = await stage.begin(
      {},
      {
        submit: inTurn(unclear),
        look: inTurn<Awaited<ReturnType<Look>>>(cannotTell, { kind: 'landed' }),
        resolve: inTurn(resolving(contradicted)),
      },
    );
    await stage.stageIs(refundId, 'review');
    expect(await decide(refundId)).toEqual(contradicted);
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId).slice(-3)).toEqual(['resolve failed', 'look poll', 'settle']);
  });

  function decide(refundId: string): Promise<ResolutionVerdict> {
    const body = {
      refundId,
      nonce: 'nonce_1',
      contentHash: 'hash_1',
      id: 'decision',
      refundVersion: 1,
      outcome: 'failed',
      evidence: 'as they said',
      actor: 'olga',
      requestId: 'req_2',
    } as const;
    return stage.handleOf(refundId).executeUpdate(resolveUpdate, { args: [{ body }] });
  }

  /** The admission is one of them. */
  async function updatesOf(refundId: string): Promise<number> {
    const events = await stage.eventsOf(refundId);
    return events.filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes).length;
  }
});

describe('Temporal’s own cancel request changes nothing', () => {
  it('while the call is under way', async () => {
    const answer = gate();
    const refundId = await stage.begin({}, {}, { submit: answer.opened });
    await until(async () => stage.seenOf(refundId).includes('submit 1'));
    await stage.askTemporalToCancel(refundId);
    answer.open();
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'settle']);
  });

  it('while it waits for a confirmation', async () => {
    const refundId = await stage.begin({}, { submit: inTurn(accepted) });
    await stage.stageIs(refundId, 'confirming');
    await stage.askTemporalToCancel(refundId);
    await ended(refundId);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'look webhook', 'settle']);
  });

  it('while it waits in the queue', async () => {
    const refundId = await stage.begin(
      { needsLane: true },
      { takeLane: inTurn({ kind: 'busy', behindRefundId: 'rfd_first' }, { kind: 'taken' }) },
    );
    await stage.stageIs(refundId, 'waiting');
    await stage.askTemporalToCancel(refundId);
    await signalLane(refundId);
    expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
  });

  it('for those who wait for the verdict', async () => {
    const start = aStart();
    const reading = gate();
    const seen = stage.cast(start.refundId, {}, { submit: inTurn(accepted) }, { admit: reading.opened });
    const verdict = stage.request(start);
    await until(async () => seen.includes('admit'));
    await stage.handleOf(start.refundId).cancel();
    reading.open();
    expect(await verdict).toMatchObject({ kind: 'admitted' });
    await ended(start.refundId);
    expect(seen).toEqual(['admit', 'submit 1', 'look webhook', 'settle']);
  });
});

type Parts = Parameters<WorkflowStage['cast']>[2];
type Look = NonNullable<Parts['look']>;
type Settle = NonNullable<Parts['settle']>;

/** Lets a refund that waits for its confirmation find it, and ends it. */
async function ended(refundId: string): Promise<void> {
  await stage.hint(refundId, 'webhook');
  expect(await stage.resultOf(refundId)).toEqual(SUCCEEDED);
}

async function signalLane(refundId: string): Promise<void> {
  await stage.handleOf(refundId).signal(retrySignal, { body: {} });
}

/** Of its steps and waits, in order; a wait that ended says its own once more. */
async function summariesOf(refundId: string): Promise<string[]> {
  const events = await stage.eventsOf(refundId);
  const summaries = events
    .filter((event) => !event.workflowExecutionStartedEventAttributes)
    .flatMap((event) => event.userMetadata?.summary ?? [])
    .map((payload) => defaultPayloadConverter.fromPayload<string>(payload));
  return [...new Set(summaries)];
}

function notDecidedYet(nextRetryDelay: '1ms' | '1h'): ApplicationFailure {
  return ApplicationFailure.create({ message: 'not decided', type: 'NotDecidedYet', nextRetryDelay });
}
