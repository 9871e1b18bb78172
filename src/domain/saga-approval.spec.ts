import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { REFUND_STATUSES } from './refund.js';
import { begin, decide } from './saga.js';
import type {
  ApprovalStanding,
  ApprovalWait,
  Decision,
  LookResult,
  Observation,
  Reminder,
  SagaTerms,
} from './saga-state.js';

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SAFETY_MS = 600 * SECOND_MS;
const REMINDERS = { everyMs: DAY_MS, escalateAfterMs: 3 * DAY_MS };

const terms = (changes: Partial<SagaTerms> = {}): SagaTerms => ({
  provider: 'acme',
  paymentId: 'pay_1',
  amountMinor: 100,
  currency: 'BRL',
  needsLane: true,
  idempotentSubmit: false,
  deadlineMs: null,
  submitBeforeMs: null,
  quietMs: 900 * SECOND_MS,
  pollMs: 5 * SECOND_MS,
  pollMaxMs: HOUR_MS,
  retryMaxMs: 60 * SECOND_MS,
  insufficientBalanceWaitMs: 3 * DAY_MS,
  providerUnavailableWaitMs: 30 * DAY_MS,
  processingReviewAfterMs: 2 * DAY_MS,
  unknownReviewAfterMs: 6 * HOUR_MS,
  reminders: REMINDERS,
  ...changes,
});
const window = (deadlineMs: number) => ({ deadlineMs, submitBeforeMs: deadlineMs - SAFETY_MS });
const WITHOUT_REMINDERS = ((): SagaTerms => {
  const { reminders: _, ...rest } = terms(window(8 * DAY_MS));
  return rest;
})();

/** Asked for at instant 0, for a week. */
const wait = (changes: Partial<ApprovalWait> = {}): ApprovalWait => ({
  state: 'waiting',
  version: 1,
  round: 1,
  required: 2,
  missing: 2,
  requestedAtMs: 0,
  expiresAtMs: 7 * DAY_MS,
  ...changes,
});
const admitted = (changes: Partial<SagaTerms> = {}, approval = wait()): Observation => ({
  kind: 'admitted',
  terms: terms(changes),
  approval,
});
const news = (standing: ApprovalStanding): Observation => ({ kind: 'approval', standing });
const APPROVED = news({ state: 'approved', version: 9 });
const looked = (result: LookResult): Observation => ({ kind: 'looked', result });
const paused: Observation = { kind: 'paused' };
const reminded: Observation = { kind: 'reminded' };
const laneTaken: Observation = { kind: 'laneTaken' };
const unknown: Observation = {
  kind: 'submitted',
  result: { kind: 'unknown', attempt: 1, firstSentAtMs: 0, resendAfterMs: null },
};
const accepted: Observation = { kind: 'submitted', result: { kind: 'accepted', attempt: 1 } };
const unavailable: Observation = {
  kind: 'submitted',
  result: { kind: 'notNow', attempt: 0, reason: 'provider_unavailable', retryAfterMs: null },
};

type Seen = Observation | readonly [Observation, number];
function run(...story: readonly Seen[]): Decision {
  return continued(decide(begin(0), { kind: 'started' }, 0), ...story);
}
function continued(from: Decision, ...story: readonly Seen[]): Decision {
  return story.reduce<Decision>(({ state }, seen) => {
    const [observation, nowMs] = 'kind' in seen ? [seen, 0] : seen;
    return decide(state, observation, nowMs);
  }, from);
}
/** "pause 5000", "remind reminder 2 of 1", "expire". */
function stepOf({ step }: Decision): string {
  const [, detail = ''] = Object.values(step) as unknown[];
  return `${step.kind} ${step.kind === 'remind' ? inWords(step.of) : String(detail)}`.trim();
}
function inWords(of: Reminder): string {
  switch (of.kind) {
    case 'reminder':
      return `reminder ${of.number} of ${of.round}`;
    case 'escalation':
      return `escalation of ${of.round}`;
    case 'windowClosing':
      return `${of.daysLeft} days`;
  }
}
const waiting = (ms: number): string => `pause ${ms}`;

/** Whoever is told nothing and asked for nothing but the time: each reminder with the instant that it comes at. */
function livedThrough(from: Decision, startMs = 0): [number, string][] {
  const told: [number, string][] = [];
  let [decision, nowMs] = [from, startMs];
  for (let turn = 0; decision.step.kind === 'remind' || decision.step.kind === 'pause'; turn += 1) {
    if (turn > 100) throw new Error('it never ends');
    if (decision.step.kind === 'pause') nowMs += decision.step.ms;
    else told.push([nowMs, inWords(decision.step.of)]);
    decision = continued(decision, [decision.step.kind === 'pause' ? paused : reminded, nowMs]);
  }
  return [...told, [nowMs, stepOf(decision)]];
}

describe('waiting for votes', () => {
  it('sleeps exactly until the next of reminder, escalation, warning and end', () => {
    const reminders = { everyMs: 2 * DAY_MS, escalateAfterMs: 3 * DAY_MS };
    expect(livedThrough(run(admitted({ reminders, ...window(9.5 * DAY_MS) })))).toEqual([
      [2 * DAY_MS, 'reminder 1 of 1'],
      [2.5 * DAY_MS, '7 days'],
      [3 * DAY_MS, 'escalation of 1'],
      [4 * DAY_MS, 'reminder 2 of 1'],
      [6 * DAY_MS, 'reminder 3 of 1'],
      [7 * DAY_MS, 'expire'],
    ]);
  });

  it('warns two days and one day before the window closes, where it ends the wait', () => {
    const reminders = { everyMs: 30 * DAY_MS, escalateAfterMs: 20 * DAY_MS };
    const endMs = 9 * DAY_MS - SAFETY_MS;
    const approval = wait({ expiresAtMs: endMs });
    expect(livedThrough(run(admitted({ reminders, ...window(9 * DAY_MS) }, approval)))).toEqual([
      [2 * DAY_MS, '7 days'],
      [7 * DAY_MS, '2 days'],
      [8 * DAY_MS, '1 days'],
      [endMs, 'expire'],
    ]);
  });

  it('is not ended a millisecond early, and ended by nobody but the ledger', () => {
    expect(stepOf(run(admitted(), [paused, 7 * DAY_MS]))).toBe('expire');
    const silent = { reminders: { everyMs: 90 * DAY_MS, escalateAfterMs: 90 * DAY_MS } };
    const { step } = run(admitted(silent), [paused, 7 * DAY_MS - 1]);
    expect(step).toEqual({ kind: 'pause', ms: 1, why: 'requires_approval' });
  });

  it.each<[string, readonly string[], number, Partial<SagaTerms>]>([
    ['of five reminders the fifth', ['remind escalation of 1', 'remind reminder 5 of 1'], 5.5, {}],
    ['of two warnings the second', ['remind 2 days', 'remind reminder 2 of 1'], 2.5, window(4 * DAY_MS)],
    ['of all three the last', ['remind 1 days', 'remind reminder 2 of 1'], 2.5, window(3 * DAY_MS)],
    ['none at the end', [], 7, window(8 * DAY_MS)],
  ])('tells who wakes up late the newest of each kind alone: %s', (_case, expected, days, changes) => {
    const atMs = days * DAY_MS;
    const steps: string[] = [];
    let decision = run(admitted(changes), [paused, atMs]);
    while (decision.step.kind === 'remind' && steps.length < 9) {
      steps.push(stepOf(decision));
      decision = continued(decision, [reminded, atMs]);
    }
    expect(steps).toEqual(expected);
    expect(decision.step.kind).toBe(days === 7 ? 'expire' : 'pause');
  });

  it('tells nothing twice, however often it is woken', () => {
    const told = run(admitted(), [paused, 3.5 * DAY_MS], [reminded, 3.5 * DAY_MS], [reminded, 3.5 * DAY_MS]);
    expect(stepOf(told)).toBe(waiting(DAY_MS / 2));
    const woken = continued(told, [paused, 3.6 * DAY_MS], [news(wait({ version: 2 })), 3.6 * DAY_MS]);
    expect(stepOf(woken)).toBe(waiting(0.4 * DAY_MS));
  });

  it('of a run that older code admitted tells nothing, and ends all the same', () => {
    const observation: Observation = { kind: 'admitted', terms: WITHOUT_REMINDERS, approval: wait() };
    expect(livedThrough(run(observation))).toEqual([[7 * DAY_MS, 'expire']]);
  });

  it('that was taken up again after its process was lost goes on, and expires at once where that is overdue', () => {
    const resumed: Observation = {
      kind: 'resumed',
      terms: terms(),
      attempt: 0,
      firstSentAtMs: null,
      resends: 0,
      inReview: false,
      approval: wait({ version: 4 }),
    };
    expect(stepOf(run([resumed, 2.5 * DAY_MS]))).toBe('remind reminder 2 of 1');
    expect(stepOf(run([resumed, 2.5 * DAY_MS], [reminded, 2.5 * DAY_MS]))).toBe(waiting(DAY_MS / 2));
    expect(stepOf(run([resumed, 8 * DAY_MS]))).toBe('expire');
  });
});

describe('what people said', () => {
  it.each<[string, ApprovalStanding, string]>([
    ['all of them yes', { state: 'approved', version: 3 }, 'takeLane'],
    ['one of two yes', wait({ version: 2, missing: 1 }), waiting(HOUR_MS)],
    ['no', { state: 'closed', version: 2, status: 'rejected' }, 'end rejected'],
    ['canceled', { state: 'closed', version: 2, status: 'canceled' }, 'end canceled'],
    ['look at it first', { state: 'review', version: 2 }, 'look'],
  ])('is gone on with at once: %s', (_case, standing, step) => {
    const later = continued(run(admitted()), [news(standing), 23 * HOUR_MS]);
    expect(stepOf(later)).toBe(step);
    // The details say since when it is what it is.
    expect(later.state.stageSinceMs).toBe(step === 'takeLane' || step === 'look' ? 23 * HOUR_MS : 0);
  });

  it('is heard from a reminder too, should the news of it be lost', () => {
    const due = run(admitted(), [paused, DAY_MS]);
    const tells = (standing: ApprovalStanding) =>
      stepOf(continued(due, [{ kind: 'reminded', standing }, DAY_MS]));
    expect(tells({ state: 'approved', version: 3 })).toBe('takeLane');
    expect(tells({ state: 'closed', version: 3, status: 'rejected' })).toBe('end rejected');
    expect(tells(wait())).toBe(waiting(DAY_MS));
  });

  it('comes too late where nothing may be sent any more: it fails, and says so', () => {
    const story = admitted(window(2 * DAY_MS));
    const endMs = 2 * DAY_MS - SAFETY_MS;
    expect(stepOf(run(story, [APPROVED, endMs - 1]))).toBe('takeLane');
    expect(stepOf(run(story, [APPROVED, endMs]))).toBe('compensate refund_window_expired');
  });

  it('restarts the bounds of the waits that follow', () => {
    const sent = [APPROVED, 6 * DAY_MS] as const;
    const story = [admitted(), sent, [laneTaken, 6 * DAY_MS], [unavailable, 6 * DAY_MS]] as const;
    expect(stepOf(run(...story, [paused, 36 * DAY_MS - 1]))).toBe('takeLane');
    expect(stepOf(run(...story, [paused, 36 * DAY_MS]))).toBe('compensate provider_unavailable');
  });

  it('moves the end, either way', () => {
    const longer = continued(run(admitted()), news(wait({ version: 2, expiresAtMs: 20 * DAY_MS })));
    expect(continued(longer, [paused, 7 * DAY_MS]).step.kind).toBe('remind');
    expect(stepOf(continued(longer, [paused, 20 * DAY_MS]))).toBe('expire');
    const inTheEnd = continued(run(admitted()), [paused, 7 * DAY_MS]);
    const extended = continued(inTheEnd, [news(wait({ version: 2, expiresAtMs: 8 * DAY_MS })), 7 * DAY_MS]);
    expect(extended.step.kind).toBe('remind');
    expect(stepOf(continued(extended, [paused, 8 * DAY_MS]))).toBe('expire');
  });

  it('may name an end in any year: nobody sleeps for more than one', () => {
    const silent = { reminders: { everyMs: 900 * DAY_MS, escalateAfterMs: 900 * DAY_MS } };
    const from = run(admitted(silent, wait({ expiresAtMs: 9_000 * 365 * DAY_MS })));
    expect(stepOf(from)).toBe(waiting(365 * DAY_MS));
    expect(stepOf(continued(from, [paused, 365 * DAY_MS]))).toBe(waiting(365 * DAY_MS));
  });
});

describe('another round', () => {
  const approval = wait({ version: 12, round: 2, requestedAtMs: 10 * DAY_MS, expiresAtMs: 17 * DAY_MS });
  /** Sent on the first round's votes, unanswered, in review, and to be sent again. */
  const second = run(
    admitted(),
    [paused, 3.5 * DAY_MS],
    [reminded, 3.5 * DAY_MS],
    [reminded, 3.5 * DAY_MS],
    [APPROVED, 3.6 * DAY_MS],
    [laneTaken, 3.6 * DAY_MS],
    [unknown, 3.6 * DAY_MS],
    [looked({ kind: 'cannotTell', why: 'two' }), 3.6 * DAY_MS],
    [{ kind: 'reviewed' }, 3.6 * DAY_MS],
    [{ kind: 'resolutionAsked' }, 10 * DAY_MS],
    [{ kind: 'resolved', result: { kind: 'resend', attempt: 1, approval } }, 10 * DAY_MS],
    [news(approval), 10 * DAY_MS],
  );

  it('begins anew: its own reminders, its own escalation, its own end', () => {
    expect(livedThrough(second, 10 * DAY_MS)).toEqual([
      [11 * DAY_MS, 'reminder 1 of 2'],
      [12 * DAY_MS, 'reminder 2 of 2'],
      [13 * DAY_MS, 'escalation of 2'],
      [13 * DAY_MS, 'reminder 3 of 2'],
      [14 * DAY_MS, 'reminder 4 of 2'],
      [15 * DAY_MS, 'reminder 5 of 2'],
      [16 * DAY_MS, 'reminder 6 of 2'],
      [17 * DAY_MS, 'expire'],
    ]);
  });

  it('warns of the window once, whatever the round', () => {
    const state = { ...second.state, warnedDaysLeft: 7, terms: terms(window(16 * DAY_MS)) };
    const warnings = livedThrough({ ...second, state }, 10 * DAY_MS).filter(([, of]) => of.endsWith('days'));
    expect(warnings).toEqual([
      [14 * DAY_MS, '2 days'],
      [15 * DAY_MS, '1 days'],
    ]);
  });

  it('is sent under the next number', () => {
    expect(
      stepOf(continued(second, [news({ state: 'approved', version: 14 }), 11 * DAY_MS], laneTaken)),
    ).toBe('submit 2');
  });

  it('looks when something may show up, and goes on waiting whatever is shown but the refund itself', () => {
    const hinted = continued(second, [{ kind: 'hinted' }, 10 * DAY_MS]);
    expect(stepOf(hinted)).toBe('look');
    const shown: [LookResult, string][] = [
      [{ kind: 'landed' }, 'settle'],
      [{ kind: 'otherAmount', why: 'half of it' }, 'review half of it'],
      [{ kind: 'absent', proven: true, quietUntilMs: 0, accepted: false }, waiting(DAY_MS)],
      [{ kind: 'processing' }, waiting(DAY_MS)],
      [{ kind: 'rejected' }, waiting(DAY_MS)],
      [{ kind: 'cannotTell', why: 'two' }, waiting(DAY_MS)],
      [{ kind: 'unclear', providerStatus: 'X' }, waiting(DAY_MS)],
      [{ kind: 'unknownStatus', providerStatus: 'X' }, waiting(DAY_MS)],
      [{ kind: 'unavailable', retryAfterMs: 5 }, waiting(DAY_MS)],
      [{ kind: 'notSent', attempt: 1 }, waiting(DAY_MS)],
    ];
    for (const [result, step] of shown) {
      const after = continued(hinted, [looked(result), 10 * DAY_MS]);
      expect([result.kind, stepOf(after)]).toEqual([result.kind, step]);
    }
    expect(continued(hinted, [looked({ kind: 'awaitsPerson' }), 10 * DAY_MS]).state.stage).toBe('review');
  });

  it('whose end the ledger refuses is read on, not sent', () => {
    const refused = continued(second, [paused, 17 * DAY_MS], [{ kind: 'closingRefused' }, 17 * DAY_MS]);
    expect(refused).toMatchObject({ state: { stage: 'resolving' }, step: { kind: 'pause' } });
    expect(stepOf(continued(refused, [paused, 17 * DAY_MS], [looked({ kind: 'landed' }), 17 * DAY_MS]))).toBe(
      'settle',
    );
  });
});

describe('news of an approval where none is waited for', () => {
  const sentAndUnclear = run(admitted(), APPROVED, laneTaken, unknown);
  const stages: [string, Decision][] = [
    ['waiting', run(admitted(), APPROVED, laneTaken, unavailable)],
    ['resolving', continued(sentAndUnclear, looked({ kind: 'unavailable', retryAfterMs: null }))],
    ['confirming', run(admitted(), APPROVED, laneTaken, accepted)],
    ['review', continued(sentAndUnclear, looked({ kind: 'cannotTell', why: 'two' }), { kind: 'reviewed' })],
  ];

  it.each(stages)(
    'changes nothing but what a pause would in the stage %s, unless it is closed',
    (stage, at) => {
      expect(at.state.stage).toBe(stage);
      const version = 99;
      const open = [wait({ version }), { state: 'approved', version }, { state: 'review', version }] as const;
      for (const standing of open) {
        expect(continued(at, news(standing))).toEqual(continued(at, paused));
      }
      for (const status of REFUND_STATUSES) {
        const closed = news({ state: 'closed', version: 0, status });
        expect(stepOf(continued(at, closed))).toBe(`end ${status}`);
      }
    },
  );
});

describe('whatever the policy and however late the clock', () => {
  const anyTimes = fc.record({
    everyMs: fc.integer({ min: 1, max: 40 }),
    escalateAfterMs: fc.integer({ min: 1, max: 200 }),
    expiresAtMs: fc.integer({ min: 1, max: 200 }),
    deadlineMs: fc.option(fc.integer({ min: 1, max: 40 * DAY_MS })),
    delays: fc.array(fc.constantFrom(0, 0, 0, 1, 7, 90, 2 * DAY_MS), { minLength: 1 }),
  });

  it('nothing is told early, twice or after the end, and it expires at the first instant awake from its end on', () => {
    fc.assert(
      fc.property(anyTimes, ({ everyMs, escalateAfterMs, deadlineMs, delays, ...rest }) => {
        const expiresAtMs = Math.min(rest.expiresAtMs, deadlineMs ?? Infinity);
        const reminders = { everyMs, escalateAfterMs };
        const changes = { reminders, deadlineMs, submitBeforeMs: deadlineMs };
        let decision = run(admitted(changes, wait({ expiresAtMs })));
        let nowMs = 0;
        const told: string[] = [];
        for (let turn = 0; decision.step.kind !== 'expire'; turn += 1) {
          if (turn > 1_000) throw new Error('it never ends');
          if (decision.step.kind === 'remind') {
            const { of } = decision.step;
            told.push(inWords(of));
            const dueMs =
              of.kind === 'reminder'
                ? of.number * everyMs
                : of.kind === 'escalation'
                  ? escalateAfterMs
                  : (deadlineMs ?? Infinity) - of.daysLeft * DAY_MS;
            expect(nowMs).toBeGreaterThanOrEqual(dueMs);
            expect(nowMs).toBeLessThan(expiresAtMs);
            decision = continued(decision, [reminded, nowMs]);
          } else {
            if (decision.step.kind !== 'pause') throw new Error(`it came to ${decision.step.kind}`);
            expect(decision.step.ms).toBeGreaterThanOrEqual(1);
            expect(nowMs + decision.step.ms).toBeLessThanOrEqual(expiresAtMs);
            nowMs += decision.step.ms + (delays[turn % delays.length] ?? 0);
            decision = continued(decision, [paused, nowMs]);
          }
        }
        expect(nowMs).toBeGreaterThanOrEqual(expiresAtMs);
        expect(new Set(told).size).toBe(told.length);
      }),
      { numRuns: 300 },
    );
  });
});
