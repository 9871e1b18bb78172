import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/activity';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import type { PersonsMessage } from '../activities/interface.js';
import type { ApprovalWait, SagaTerms } from '../src/domain/saga-state.js';
import type { VoteDecision } from '../src/domain/vote.js';
import { cancelUpdate, extendUpdate, resolveUpdate, voteUpdate } from '../workflows/messages.js';
import { until } from './setup/eventually.js';
import { answered, inTurn, said, TERMS, type Activities } from './setup/fake-activities.js';
import { aStart, gate, openWorkflowStage, type WorkflowStage } from './setup/workflow-stage.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const DONE = { kind: 'done' };
const SUCCEEDED = { status: 'succeeded' };
const CANCELED = { status: 'canceled' };
const approved = said({ state: 'approved', version: 3 });
const noBalance = answered({
  kind: 'notNow',
  attempt: 0,
  reason: 'insufficient_balance',
  // No machine is so slow that this pause ends by itself.
  retryAfterMs: 3_600_000,
});

jest.setTimeout(90_000);

let stage: WorkflowStage;
beforeAll(async () => {
  stage = await openWorkflowStage();
}, 60_000);
afterAll(() => stage.close(), 60_000);

describe('a vote', () => {
  it.concurrent('that is the last one sends the refund at once', async () => {
    const refundId = await begin({ castVote: inTurn(said(waitFor(1, 2)), approved) });
    expect(await vote(refundId)).toEqual(DONE);
    expect(await stage.detailsOf(refundId)).toContain('1 of 2 approvals are missing');
    expect(await vote(refundId)).toEqual(DONE);
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'vote approve', 'vote approve', 'submit 1', 'settle']);
    expect(await timersThatFired(refundId)).toBe(0);
  });

  it.concurrent('against it ends it at once', async () => {
    const rejected = said({ state: 'closed', version: 2, status: 'rejected' });
    const refundId = await begin({ castVote: inTurn(rejected) });
    expect(await vote(refundId, 'reject')).toEqual(DONE);
    expect(await stage.replayedResultOf(refundId)).toEqual({ status: 'rejected' });
    expect(stage.seenOf(refundId)).toEqual(['admit', 'vote reject']);
  });

  it.concurrent('that is told of before an older one is not forgotten for it', async () => {
    const [older, newer, reminded] = [gate(), gate(), gate()];
    const votes = [
      () => older.opened.then(() => said(waitFor(2, 1))),
      () => newer.opened.then(() => approved),
    ];
    const refundId = await begin({
      admit: admitting({ reminders: { everyMs: 500, escalateAfterMs: DAY_MS } }),
      castVote: () => votes.shift()!(),
      remind: () => reminded.opened.then(() => undefined),
    });
    const verdicts = Promise.all([vote(refundId), vote(refundId)]);
    await until(async () => votes.length === 0 && stage.seenOf(refundId).includes('remind reminder'));
    // While the reminder is being written, the run hears of neither; after it, of both, in this order.
    newer.open();
    await until(async () => (await activitiesUnderWay(refundId)) === 1);
    older.open();
    await until(async () => (await activitiesUnderWay(refundId)) === 0);
    reminded.open();
    expect(await verdicts).toEqual([DONE, DONE]);
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId).slice(-2)).toEqual(['submit 1', 'settle']);
  });

  it.concurrent('is answered once PostgreSQL is back, and the wait goes on from it', async () => {
    let asked = 0;
    const refundId = await begin({
      castVote: async () => {
        asked += 1;
        if (asked < 3) throw noDatabase();
        return approved;
      },
    });
    expect(await vote(refundId)).toEqual(DONE);
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
    expect(asked).toBe(3);
  });

  it.concurrent('whose news was lost is told of by the next reminder', async () => {
    const refundId = await begin({
      admit: admitting({ reminders: { everyMs: 300, escalateAfterMs: DAY_MS } }),
      remind: async () => ({ state: 'approved', version: 3 }),
    });
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'remind reminder', 'submit 1', 'settle']);
  });

  it.concurrent('is answered and decides while a reminder hangs', async () => {
    const [tried, hangs] = [gate(), gate()];
    const refundId = await begin({
      admit: admitting({ reminders: { everyMs: 300, escalateAfterMs: DAY_MS } }),
      castVote: async () => approved,
      remind: async () => {
        tried.open();
        await hangs.opened;
        return undefined;
      },
    });
    await tried.opened;
    expect(await vote(refundId)).toEqual(DONE);
    await until(async () => stage.seenOf(refundId).includes('vote approve'));
    hangs.open();
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
  });

  it.concurrent('is answered where reminders can’t be written either', async () => {
    let [tried, asked] = [0, 0];
    const refundId = await begin({
      admit: admitting({ reminders: { everyMs: 300, escalateAfterMs: DAY_MS } }),
      castVote: async () => {
        asked += 1;
        if (asked < 2) throw noDatabase();
        return approved;
      },
      remind: async () => {
        tried += 1;
        if (tried < 3) throw noDatabase();
        return undefined;
      },
    });
    await until(async () => tried > 0);
    expect(await vote(refundId)).toEqual(DONE);
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId).slice(-2)).toEqual(['submit 1', 'settle']);
  });

  it.concurrent(
    'that comes while the admission is being tried again counts when that is through',
    async () => {
      const start = aStart();
      const back = gate();
      let tried = 0;
      const seen = stage.cast(
        start.refundId,
        {},
        {
          admit: async (asked) => {
            tried += 1;
            if (tried === 1) throw noDatabase();
            await back.opened;
            return admitting()(asked);
          },
          castVote: inTurn(approved),
        },
      );
      const tooEarly = expect(stage.request(start)).rejects.toThrow('no verdict');
      await until(async () => tried > 1);
      const voted = vote(start.refundId);
      // Messages reach a run that is busy with its ledger only every few seconds, by the heartbeats of its task.
      await until(
        async () => seen.includes('vote approve') && (await activitiesUnderWay(start.refundId)) === 0,
      );
      await tooEarly;
      back.open();
      expect(await voted).toEqual(DONE);
      expect(await stage.request({ ...start, askId: 'ask_2' })).toMatchObject({ kind: 'admitted' });
      expect(await stage.replayedResultOf(start.refundId)).toEqual(SUCCEEDED);
      expect(seen.filter((step) => step !== 'admit')).toEqual(['vote approve', 'submit 1', 'settle']);
    },
  );

  it.concurrent('reaches a run that takes the place of a lost one', async () => {
    const start = aStart();
    const resume = {
      terms: TERMS,
      attempt: 0,
      firstSentAtMs: null,
      resends: 0,
      inReview: false,
      approval: waitFor(1, 2),
    };
    const seen = stage.cast(
      start.refundId,
      {},
      { admit: async () => ({ verdict: { kind: 'replayed' }, resume }), castVote: inTurn(approved) },
    );
    await stage.request(start);
    await stage.stageIs(start.refundId, 'approving');
    expect(await vote(start.refundId)).toEqual(DONE);
    expect(await stage.replayedResultOf(start.refundId)).toEqual(SUCCEEDED);
    expect(seen).toEqual(['admit', 'vote approve', 'submit 1', 'settle']);
  });
});

describe('a cancel', () => {
  const canceled = said({ state: 'closed', version: 4, status: 'canceled' });

  it.concurrent('while it waits for votes ends it at once', async () => {
    const refundId = await begin({ cancelRefund: inTurn(canceled) });
    expect(await cancel(refundId)).toEqual(DONE);
    expect(await stage.replayedResultOf(refundId)).toEqual(CANCELED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'cancel']);
  });

  it.concurrent('during a pause before anything is sent ends it at once', async () => {
    const refundId = await begin({
      castVote: inTurn(approved),
      submit: inTurn(noBalance),
      cancelRefund: inTurn(canceled),
    });
    await vote(refundId);
    await until(async () => (await stage.detailsOf(refundId)).includes('no balance'));
    expect(await cancel(refundId)).toEqual(DONE);
    expect(await stage.replayedResultOf(refundId)).toEqual(CANCELED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'vote approve', 'submit 1', 'cancel']);
    expect(await timersThatFired(refundId)).toBe(0);
  });

  it.concurrent('that overtakes the call stands, and the call sends nothing', async () => {
    const claiming = gate();
    const refundId = await stage.begin(
      {},
      {
        submit: inTurn(answered({ kind: 'ineligible', attempt: 0, code: 'payment_not_refundable' })),
        cancelRefund: inTurn(canceled),
        compensate: async () => ({ kind: 'closed', status: 'canceled', wakeRefundId: null }),
      },
      { submit: claiming.opened },
    );
    await until(async () => stage.seenOf(refundId).includes('submit 1'));
    expect(await cancel(refundId)).toEqual(DONE);
    claiming.open();
    expect(await stage.replayedResultOf(refundId)).toEqual(CANCELED);
    expect(stage.seenOf(refundId)).toEqual([
      'admit',
      'submit 1',
      'cancel',
      'compensate payment_not_refundable',
    ]);
  });

  it.concurrent('that comes too late changes nothing', async () => {
    const refused = { kind: 'refused', code: 'not_cancelable', detail: 'It is on its way.' } as const;
    const sent = gate();
    const refundId = await stage.begin(
      {},
      { cancelRefund: async () => ({ ...approved, verdict: refused }) },
      { submit: sent.opened },
    );
    await until(async () => stage.seenOf(refundId).includes('submit 1'));
    expect(await cancel(refundId)).toEqual(refused);
    sent.open();
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'submit 1', 'cancel', 'settle']);
  });
});

describe('what is sent by hand through Temporal', () => {
  it.concurrent('and is no message is refused at the door, without a trace', async () => {
    const refundId = await begin({});
    const before = await stage.eventsOf(refundId);
    const fine = { ...aMessage(refundId), decision: 'approve', comment: null };
    const malformed: [unknown][] = [
      [null],
      [{}],
      [{ body: null }],
      [{ body: { ...fine, refundId: undefined } }],
      [{ body: { ...fine, actor: 7 } }],
      [{ body: { ...fine, nonce: 'n'.repeat(257) } }],
    ];
    for (const args of malformed) {
      await expect(stage.handleOf(refundId).executeUpdate('vote', { args })).rejects.toThrow(
        WorkflowUpdateFailedError,
      );
    }
    expect((await stage.eventsOf(refundId)).length).toBe(before.length);
    expect(stage.seenOf(refundId)).toEqual(['admit']);
    await vote(refundId);
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
  });

  it.concurrent('and is not the front door’s leaves the wait as it is', async () => {
    const unproven = { verdict: { kind: 'unproven' }, standing: null, wakeRefundId: null } as const;
    const refundId = await begin({ castVote: inTurn<Voted>(unproven, approved) });
    expect(await vote(refundId)).toEqual({ kind: 'unproven' });
    await stage.stageIs(refundId, 'approving');
    expect(await upsertsOf(refundId)).toBe(1);
    await vote(refundId);
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
  });

  it.concurrent('or said by a front door that knows of a review makes the run ask the ledger', async () => {
    // No newer than the wait: the run hears nothing of it.
    const refundId = await begin({ castVote: inTurn(said({ state: 'review', version: 0 })) });
    await vote(refundId);
    const decision = { id: 'd', refundVersion: 2, outcome: 'succeeded', evidence: 'e' } as const;
    const body = { ...aMessage(refundId), ...decision };
    expect(await stage.handleOf(refundId).executeUpdate(resolveUpdate, { args: [{ body }] })).toEqual({
      kind: 'notInReview',
    });
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'vote approve', 'look poll', 'settle']);
  });

  it.concurrent('as Temporal’s own cancel request changes nothing, for votes under way neither', async () => {
    const counted = gate();
    const refundId = await begin({
      castVote: () => counted.opened.then(() => approved),
    });
    const voted = vote(refundId);
    await until(async () => stage.seenOf(refundId).includes('vote approve'));
    await stage.askTemporalToCancel(refundId);
    await stage.stageIs(refundId, 'approving');
    counted.open();
    expect(await voted).toEqual(DONE);
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId)).toEqual(['admit', 'vote approve', 'submit 1', 'settle']);
  });
});

describe('the time for votes', () => {
  it.concurrent('ends for all at once, after each reminder was given once', async () => {
    const refundId = await stage.begin(
      {},
      {
        admit: admitting(
          { reminders: { everyMs: DAY_MS, escalateAfterMs: 2.5 * DAY_MS } },
          waitFor(2, 1, in4Days()),
        ),
      },
      { time: 'skipped' },
    );
    expect(await stage.replayedResultOf(refundId)).toEqual({ status: 'expired' });
    expect(stage.seenOf(refundId)).toEqual([
      'admit',
      'remind reminder',
      'remind reminder',
      'remind escalation',
      'remind reminder',
      'expire',
    ]);
  });

  it.concurrent('goes on where the ledger knows of an extension that the run has not heard of', async () => {
    const extended = waitFor(2, 2, { expiresAtMs: Date.now() + 8 * DAY_MS });
    const refundId = await stage.begin(
      {},
      {
        admit: admitting({}, waitFor(2, 1, in4Days())),
        expire: inTurn<Expired>(
          { standing: extended, wakeRefundId: null },
          {
            standing: { state: 'closed', version: 3, status: 'expired' },
            wakeRefundId: null,
          },
        ),
      },
      { time: 'skipped' },
    );
    expect(await stage.replayedResultOf(refundId)).toEqual({ status: 'expired' });
    expect(stage.seenOf(refundId)).toEqual(['admit', 'expire', 'expire']);
  });

  it.concurrent('is long: many reminders go on in new runs, which know the wait and hear votes', async () => {
    const reminders = { everyMs: 10, escalateAfterMs: DAY_MS };
    const refundId = await begin({
      admit: admitting({ reminders }),
      castVote: inTurn(said(waitFor(1, 2)), approved),
    });
    const { raw } = await stage.handleOf(refundId).describe();
    const firstRun = raw.workflowExecutionInfo?.firstRunId;
    await until(async () => (await runOf(refundId)) !== firstRun);
    expect(await vote(refundId)).toEqual(DONE);
    expect(await stage.foundBy(refundId)).toMatchObject({
      RefundStatus: 'requires_approval',
      RefundVotesMissing: 1,
    });
    const secondRun = await runOf(refundId);
    await until(async () => (await runOf(refundId)) !== secondRun);
    expect(await vote(refundId)).toEqual(DONE);
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
    expect(stage.seenOf(refundId).filter((step) => step !== 'remind reminder')).toEqual([
      'admit',
      'vote approve',
      'vote approve',
      'submit 1',
      'settle',
    ]);
    // The last run says that it goes on, and how it ended; the wait was shown by the first.
    expect(await upsertsOf(refundId)).toBe(2);
  });
});

describe('what people can search by', () => {
  it.concurrent('is written when it changes, and only then', async () => {
    const untilMs = Date.now() + 60 * DAY_MS;
    const refused = { kind: 'refused', code: 'approval_conflict', detail: 'Look again.' } as const;
    const twoHoursAgo = { requestedAtMs: Date.now() - 2 * HOUR_MS };
    const refundId = await begin({
      admit: admitting(
        { reminders: { everyMs: 1.5 * HOUR_MS, escalateAfterMs: HOUR_MS } },
        waitFor(2, 1, twoHoursAgo),
      ),
      castVote: inTurn<Voted>(
        said(waitFor(1, 2)),
        { ...said(waitFor(1, 2)), verdict: refused },
        said({ state: 'approved', version: 4 }),
      ),
      extendApproval: inTurn(said(waitFor(1, 3, { expiresAtMs: untilMs }))),
    });
    const waited = { RefundStatus: 'requires_approval', RefundVotesMissing: 2 };
    expect(await stage.foundBy(refundId)).toMatchObject(waited);
    await until(async () => stage.seenOf(refundId).includes('remind reminder'));
    expect(await upsertsOf(refundId)).toBe(1);

    expect(await vote(refundId)).toEqual(DONE);
    await until(async () => (await upsertsOf(refundId)) === 2);
    expect(await vote(refundId)).toEqual(refused);
    expect(await extend(refundId, untilMs)).toEqual(DONE);
    await until(async () => (await upsertsOf(refundId)) === 3);
    expect(await stage.foundBy(refundId)).toMatchObject({
      RefundVotesMissing: 1,
      RefundApprovalUntil: new Date(untilMs),
    });

    expect(await vote(refundId)).toEqual(DONE);
    expect(await stage.replayedResultOf(refundId)).toEqual(SUCCEEDED);
    expect(await upsertsOf(refundId)).toBe(5);
    const found = await stage.foundBy(refundId);
    expect(found).toMatchObject({ RefundStatus: 'succeeded' });
    expect(found).not.toHaveProperty('RefundVotesMissing');
    expect(found).not.toHaveProperty('RefundApprovalUntil');
  });
});

type Voted = Awaited<ReturnType<Activities['castVote']>>;
type Expired = Awaited<ReturnType<Activities['expire']>>;

/** Two votes are asked for, nobody is reminded, and the end is far, unless it is said otherwise. */
function waitFor(missing: number, version: number, more: Partial<ApprovalWait> = {}): ApprovalWait {
  const nowMs = Date.now();
  return {
    state: 'waiting',
    version,
    round: 1,
    required: 2,
    missing,
    requestedAtMs: nowMs,
    expiresAtMs: nowMs + 30 * DAY_MS,
    ...more,
  };
}

function in4Days(): Pick<ApprovalWait, 'expiresAtMs'> {
  return { expiresAtMs: Date.now() + 4 * DAY_MS - HOUR_MS };
}

function begin(parts: Partial<Activities>): Promise<string> {
  return stage.begin({}, { admit: admitting(), ...parts });
}

function admitting(terms: Partial<SagaTerms> = {}, approval = waitFor(2, 1)): Activities['admit'] {
  return async ({ body: { refundId } }) => ({
    verdict: { kind: 'admitted', refundId, firstAskId: 'ask_1' },
    terms: { ...TERMS, ...terms },
    approval,
  });
}

function vote(refundId: string, decision: VoteDecision = 'approve'): Promise<unknown> {
  const body = { ...aMessage(refundId), decision, comment: null };
  return stage.handleOf(refundId).executeUpdate(voteUpdate, { args: [{ body }] });
}

function cancel(refundId: string): Promise<unknown> {
  const body = { ...aMessage(refundId), reason: null };
  return stage.handleOf(refundId).executeUpdate(cancelUpdate, { args: [{ body }] });
}

function extend(refundId: string, expiresAtMs: number): Promise<unknown> {
  const body = { ...aMessage(refundId), expiresAtMs };
  return stage.handleOf(refundId).executeUpdate(extendUpdate, { args: [{ body }] });
}

function aMessage(refundId: string): PersonsMessage {
  return { refundId, actor: 'bruno', nonce: randomUUID(), requestId: 'req_2', contentHash: 'hash_1' };
}

function noDatabase(): ApplicationFailure {
  return ApplicationFailure.retryable('no database', 'LedgerUnavailable');
}

async function activitiesUnderWay(refundId: string): Promise<number> {
  const { raw } = await stage.handleOf(refundId).describe();
  return raw.pendingActivities?.length ?? 0;
}

async function runOf(refundId: string): Promise<string> {
  return (await stage.handleOf(refundId).describe()).runId;
}

async function timersThatFired(refundId: string): Promise<number> {
  return (await stage.eventsOf(refundId)).filter((event) => event.timerFiredEventAttributes).length;
}

/** In its newest run. */
async function upsertsOf(refundId: string): Promise<number> {
  const events = await stage.eventsOf(refundId);
  return events.filter((event) => event.upsertWorkflowSearchAttributesEventAttributes).length;
}
