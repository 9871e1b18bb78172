import { describe, expect, it } from '@jest/globals';
import { begin, decide } from './saga.js';
import type { ApprovalStanding, ApprovalWait, Decision, Observation, SagaTerms } from './saga-state.js';

const DAY_MS = 86_400_000;
const FAR_MS = 253_402_300_799_999;

const TERMS: SagaTerms = {
  provider: 'acme',
  paymentId: 'pay_1',
  amountMinor: 100,
  currency: 'BRL',
  needsLane: true,
  idempotentSubmit: false,
  deadlineMs: null,
  submitBeforeMs: null,
  quietMs: 900_000,
  pollMs: 5_000,
  pollMaxMs: 3_600_000,
  retryMaxMs: 60_000,
  insufficientBalanceWaitMs: 3 * DAY_MS,
  providerUnavailableWaitMs: 30 * DAY_MS,
  processingReviewAfterMs: 2 * DAY_MS,
  unknownReviewAfterMs: 6 * 3_600_000,
  reminders: { everyMs: DAY_MS, escalateAfterMs: 3 * DAY_MS },
};

/** Of the second round, asked for at instant 0. */
const wait = (changes: Partial<ApprovalWait> = {}): ApprovalWait => ({
  state: 'waiting',
  version: 12,
  round: 2,
  required: 2,
  missing: 2,
  requestedAtMs: 0,
  expiresAtMs: 7 * DAY_MS,
  ...changes,
});
const LIE = wait({ version: 1e12, round: 99, requestedAtMs: FAR_MS, expiresAtMs: FAR_MS });
const seen = (standing: ApprovalStanding): Observation => ({ kind: 'approvalSeen', standing });
const standings = {
  waiting: wait(),
  approved: { state: 'approved', version: 14 },
  review: { state: 'review', version: 11 },
  closed: { state: 'closed', version: 14, status: 'canceled' },
} as const;
const paused: Observation = { kind: 'paused' };
const laneTaken: Observation = { kind: 'laneTaken' };
const awaitsVotes: Observation = { kind: 'looked', result: { kind: 'awaitsVotes' } };
const resend = (approval?: ApprovalWait): Observation => ({
  kind: 'resolved',
  result: { kind: 'resend', attempt: 1, ...(approval ? { approval } : {}) },
});

function continued(from: Decision, ...story: readonly Observation[]): Decision {
  return story.reduce<Decision>(({ state }, observation) => decide(state, observation, 0), from);
}
const submitting = continued(
  decide(begin(0), { kind: 'started' }, 0),
  { kind: 'admitted', terms: TERMS },
  laneTaken,
);
const resolving = continued(submitting, {
  kind: 'submitted',
  result: { kind: 'unknown', attempt: 1, firstSentAtMs: 0, resendAfterMs: null },
});
const confirming = continued(submitting, { kind: 'submitted', result: { kind: 'accepted', attempt: 1 } });
const inReview = continued(
  resolving,
  { kind: 'looked', result: { kind: 'cannotTell', why: 'two' } },
  { kind: 'reviewed' },
);
const notPending: Observation = { kind: 'submitted', result: { kind: 'notPending', attempt: 1 } };

describe('what a remote step says about votes', () => {
  const asked: [string, Decision][] = [
    ['of a look while resolving', continued(resolving, awaitsVotes)],
    ['of a look while confirming', continued(confirming, awaitsVotes)],
    ['of a look in review', continued(inReview, awaitsVotes)],
    ['of a call', continued(submitting, notPending)],
    ['of a resolution', continued(inReview, resend(LIE), paused)],
  ];

  it.each(asked)('is a reason to ask the ledger, and believed of nobody else: %s', (_case, from) => {
    expect(from.step).toEqual({ kind: 'seeApproval' });
    const waiting = continued(from, seen(standings.waiting));
    expect(waiting).toMatchObject({
      state: { stage: 'approving', approval: { wait: standings.waiting } },
      step: { kind: 'pause', ms: DAY_MS },
    });
    expect(continued(from, seen(standings.closed)).step).toEqual({ kind: 'end', status: 'canceled' });
    expect(continued(from, seen(standings.review)).state.stage).toBe('review');
  });

  it('moves a run on that heard nothing of the votes, and makes any other look for what was sent', () => {
    const after = asked.map(([name, from]) => {
      const { state, step } = continued(from, seen(standings.approved));
      return [name, state.stage, step.kind];
    });
    expect(after).toEqual([
      ['of a look while resolving', 'resolving', 'pause'],
      ['of a look while confirming', 'confirming', 'pause'],
      ['of a look in review', 'waiting', 'takeLane'],
      ['of a call', 'resolving', 'pause'],
      ['of a resolution', 'waiting', 'takeLane'],
    ]);
    expect(continued(asked[3]![1], seen(standings.approved), paused).step.kind).toBe('look');
  });

  it('of a review that goes on is not asked about again without a pause', () => {
    expect(continued(inReview, awaitsVotes, seen(standings.review)).step.kind).toBe('pause');
  });

  it('is waited for as long as a second, whatever it claims, until the ledger has said the same', () => {
    for (const approval of [wait(), LIE]) {
      const told = continued(inReview, resend(approval));
      expect(told).toMatchObject({ state: { stage: 'approving' }, step: { kind: 'pause', ms: 1_000 } });
    }
    const confirmed = continued(inReview, resend(wait()), paused, seen(wait()), paused);
    expect(confirmed.step).toEqual({ kind: 'pause', ms: DAY_MS, why: 'requires_approval' });
  });

  it('and keeps silent about leads there all the same', () => {
    const silent = continued(inReview, resend(), laneTaken, notPending, seen(wait()));
    expect(silent.state.stage).toBe('approving');
  });

  it('comes after what was due by then, as in runs that believed it', () => {
    const told = continued(inReview, resend(wait()));
    expect(decide(told.state, paused, DAY_MS).step.kind).toBe('remind');
    expect(decide(told.state, paused, 7 * DAY_MS).step.kind).toBe('expire');
  });
});
