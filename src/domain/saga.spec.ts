import { describe, expect, it } from '@jest/globals';
import { begin, decide } from './saga.js';
import type { Decision, LookResult, Observation, SagaTerms, SubmitResult } from './saga-state.js';

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const QUIET_MS = 900 * SECOND_MS;

const terms = (changes: Partial<SagaTerms> = {}): SagaTerms => ({
  provider: 'acme',
  paymentId: 'pay_1',
  amountMinor: 100,
  currency: 'BRL',
  needsLane: true,
  idempotentSubmit: false,
  deadlineMs: null,
  submitBeforeMs: null,
  quietMs: QUIET_MS,
  pollMs: 5 * SECOND_MS,
  pollMaxMs: HOUR_MS,
  retryMaxMs: 60 * SECOND_MS,
  insufficientBalanceWaitMs: 3 * DAY_MS,
  providerUnavailableWaitMs: 7 * DAY_MS,
  processingReviewAfterMs: 2 * DAY_MS,
  unknownReviewAfterMs: 6 * HOUR_MS,
  ...changes,
});
const WITH_KEYS = { needsLane: false, idempotentSubmit: true };

const submitted = (result: SubmitResult): Observation => ({ kind: 'submitted', result });
const looked = (result: LookResult): Observation => ({ kind: 'looked', result });
const done = submitted({ kind: 'done', attempt: 1 });
const accepted = submitted({ kind: 'accepted', attempt: 1 });
const declined = (resolveFirst: boolean): Observation =>
  submitted({ kind: 'declined', attempt: 1, resolveFirst });
const unknown = (attempt = 1, resendAfterMs: number | null = null): Observation =>
  submitted({ kind: 'unknown', attempt, firstSentAtMs: 0, resendAfterMs });
const notNow = (
  reason: 'insufficient_balance' | 'provider_unavailable' | 'authorization_required',
  retryAfterMs: number | null = null,
): Observation => submitted({ kind: 'notNow', attempt: 0, reason, retryAfterMs });
const absent = (proven: boolean, quietUntilMs = QUIET_MS, wasAccepted = false): Observation =>
  looked({ kind: 'absent', proven, quietUntilMs, accepted: wasAccepted });
const unavailable = (retryAfterMs: number | null = null): Observation =>
  looked({ kind: 'unavailable', retryAfterMs });
const paused: Observation = { kind: 'paused' };
const laneTaken: Observation = { kind: 'laneTaken' };
const laneBusy: Observation = { kind: 'laneBusy' };
const callLost: Observation = { kind: 'callLost' };
const reviewed: Observation = { kind: 'reviewed' };
const admitted = (changes: Partial<SagaTerms> = {}): Observation => ({
  kind: 'admitted',
  terms: terms(changes),
});

/** Each observation at instant 0, or at the one given beside it. */
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
/** "pause 5000", "submit 1", "compensate provider_declined". */
function stepOf({ step }: Decision): string {
  const { kind, ...rest } = step;
  const detail =
    'ms' in rest
      ? rest.ms
      : 'attempt' in rest
        ? rest.attempt
        : 'reason' in rest
          ? rest.reason
          : 'status' in rest
            ? rest.status
            : '';
  return `${kind} ${detail}`.trim();
}

const sent = [admitted(), laneTaken] as const;
const sentWithKey = [admitted(WITH_KEYS)] as const;

describe('the happy paths', () => {
  it.each<[string, Observation[], string[]]>([
    ['refused at the door', [{ kind: 'notAdmitted' }], ['end refused']],
    [
      'confirmed by the answer',
      [admitted(), laneTaken, done, { kind: 'closed', status: 'succeeded' }],
      ['takeLane', 'submit 1', 'settle', 'end succeeded'],
    ],
    [
      'confirmed by a key’s answer, no lane needed',
      [admitted(WITH_KEYS), done, { kind: 'closed', status: 'succeeded' }],
      ['submit 1', 'settle', 'end succeeded'],
    ],
    [
      'confirmed by reading',
      [...sent, accepted, paused, looked({ kind: 'processing' }), paused, looked({ kind: 'landed' })],
      ['takeLane', 'submit 1', 'pause 5000', 'look', 'pause 10000', 'look', 'settle'],
    ],
    [
      'declined',
      [...sent, declined(false), { kind: 'closed', status: 'failed' }],
      ['takeLane', 'submit 1', 'compensate provider_declined', 'end failed'],
    ],
    [
      'accepted, then rejected',
      [...sent, accepted, paused, looked({ kind: 'rejected' })],
      ['takeLane', 'submit 1', 'pause 5000', 'look', 'compensate provider_declined'],
    ],
    [
      'no longer allowed just before the call',
      [...sent, submitted({ kind: 'ineligible', attempt: 0, code: 'payment_not_refundable' })],
      ['takeLane', 'submit 1', 'compensate payment_not_refundable'],
    ],
  ])('%s', (_case, story, steps) => {
    const taken = story.map((_seen, at) => stepOf(run(...story.slice(0, at + 1))));
    expect(taken).toEqual(steps);
  });
});

describe('what a call brought', () => {
  it.each<[string, Decision, string]>([
    ['unknown, no key: read at once', run(...sent, unknown()), 'look'],
    [
      'unknown, with a key: the same attempt again after a pause',
      run(...sentWithKey, unknown(), paused),
      'submit 1',
    ],
    ['the worker died, no key: read at once', run(...sent, callLost), 'look'],
    [
      'the worker died, with a key: the same attempt again',
      run(...sentWithKey, callLost, paused),
      'submit 1',
    ],
    [
      'the worker died before anything was claimed',
      run(...sent, callLost, looked({ kind: 'notSent', attempt: 0 }), laneTaken),
      'submit 1',
    ],
    [
      'declined after an unclear sending: read first',
      run(...sentWithKey, unknown(), paused, declined(true)),
      'look',
    ],
    [
      'then it is there',
      run(...sentWithKey, unknown(), paused, declined(true), looked({ kind: 'landed' })),
      'settle',
    ],
    [
      'then it is provably not there',
      run(...sentWithKey, unknown(), paused, declined(true), absent(true)),
      'compensate provider_declined',
    ],
    [
      'then it is not there yet',
      run(...sentWithKey, unknown(), paused, declined(true), absent(false)),
      'pause 10000',
    ],
    [
      'after that no repeat, only reading',
      run(...sentWithKey, unknown(), paused, declined(true), absent(false), paused),
      'look',
    ],
    [
      'a repeat that never left: the ledger says whether one did before',
      run(...sentWithKey, unknown(), paused, notNow('provider_unavailable')),
      'look',
    ],
  ])('%s', (_case, decision, step) => {
    expect(stepOf(decision)).toBe(step);
  });
});

describe('what a reading shows, by stage', () => {
  const resolving = run(...sent, unknown());
  const confirming = run(...sent, accepted, paused);
  const inReview = run(...sent, unknown(), looked({ kind: 'cannotTell', why: 'two' }), reviewed, paused);
  const rows: readonly [LookResult['kind'], Observation, string, string, string][] = [
    ['landed', looked({ kind: 'landed' }), 'settle', 'settle', 'settle'],
    [
      'rejected',
      looked({ kind: 'rejected' }),
      'compensate provider_declined',
      'compensate provider_declined',
      'compensate provider_declined',
    ],
    ['processing', looked({ kind: 'processing' }), 'pause 5000', 'pause 10000', 'pause 10000'],
    ['unclear', looked({ kind: 'unclear', providerStatus: '0' }), 'pause 5000', 'pause 10000', 'pause 10000'],
    [
      'unknownStatus',
      looked({ kind: 'unknownStatus', providerStatus: 'new' }),
      'review',
      'review',
      'pause 10000',
    ],
    ['cannotTell', looked({ kind: 'cannotTell', why: 'two' }), 'review', 'review', 'pause 10000'],
    ['otherAmount', looked({ kind: 'otherAmount', why: 'more' }), 'review', 'review', 'pause 10000'],
    ['unavailable', unavailable(), 'pause 5000', 'pause 10000', 'pause 10000'],
    ['absent', absent(false), 'pause 5000', 'pause 10000', 'pause 10000'],
    ['absent', absent(true), 'takeLane', 'pause 10000', 'pause 10000'],
    ['notSent', looked({ kind: 'notSent', attempt: 0 }), 'takeLane', 'takeLane', 'pause 10000'],
  ];

  it.each(rows)('%s', (_kind, seen, whenResolving, whenConfirming, whenInReview) => {
    expect([resolving, confirming, inReview].map((from) => stepOf(continued(from, seen)))).toEqual([
      whenResolving,
      whenConfirming,
      whenInReview,
    ]);
  });

  it('never sends again what was accepted, however long it is not shown', () => {
    for (const seen of [absent(true), absent(false, QUIET_MS, true), absent(true, QUIET_MS, true)]) {
      let decision = confirming;
      for (let nowMs = 0; nowMs <= 3 * DAY_MS; nowMs += HOUR_MS) {
        const { kind } = decision.step;
        expect(['look', 'pause', 'watch', 'review']).toContain(kind);
        decision = continued(decision, [
          kind === 'look' ? seen : kind === 'review' ? reviewed : paused,
          nowMs,
        ]);
      }
      expect(decision.state.stage).toBe('review');
    }
  });
});

describe('sending again', () => {
  const resent = [...sent, unknown(), absent(true), laneTaken] as const;

  it('happens by itself once, under a new number, after proven absence; then a person decides', () => {
    expect(stepOf(run(...resent))).toBe('submit 2');
    expect(stepOf(run(...resent, unknown(2), absent(true)))).toBe('review');
  });

  it('does not count what was never sent', () => {
    const story = [...resent, notNow('provider_unavailable'), paused, laneTaken] as const;
    expect(stepOf(run(...story))).toBe('submit 1');
    expect(stepOf(run(...story, unknown(3), absent(true)))).toBe('review');
  });

  it('waits as long as the provider asked, at a key’s repeat too, but never longer than the longest pause', () => {
    const resendAfterMs = 20 * SECOND_MS;
    expect(stepOf(run(...sent, unknown(1, resendAfterMs), absent(true, 0)))).toBe('pause 20000');
    expect(stepOf(run(...sentWithKey, unknown(1, resendAfterMs)))).toBe('pause 20000');
    expect(stepOf(run(...sentWithKey, unknown(1, 30 * DAY_MS)))).toBe(`pause ${HOUR_MS}`);
    expect(stepOf(run(...sent, unknown(), unavailable(30 * DAY_MS)))).toBe(`pause ${HOUR_MS}`);
  });

  it('repeats a key for 24 hours from its first sending, and then reads like everywhere', () => {
    const patient = admitted({ ...WITH_KEYS, unknownReviewAfterMs: 9 * DAY_MS });
    expect(stepOf(run(patient, unknown(), [paused, DAY_MS - 1]))).toBe('submit 1');
    expect(stepOf(run(patient, unknown(), [paused, DAY_MS]))).toBe('look');
    expect(stepOf(run(patient, unknown(), [paused, DAY_MS], [absent(true), DAY_MS]))).toBe('submit 2');
  });
});

describe('the window', () => {
  const closing = { submitBeforeMs: HOUR_MS };
  it.each<[string, Decision, string]>([
    ['forbids the first sending', run([admitted(closing), HOUR_MS]), 'compensate refund_window_expired'],
    [
      'forbids it after the lane was taken',
      run(admitted(closing), [laneTaken, HOUR_MS]),
      'compensate refund_window_expired',
    ],
    [
      'allows it a millisecond before',
      run([admitted(closing), HOUR_MS - 1], [laneTaken, HOUR_MS - 1]),
      'submit 1',
    ],
    ['ends a queue', run(admitted(closing), laneBusy, [paused, HOUR_MS]), 'compensate refund_window_expired'],
    [
      'forbids a resend after proven absence',
      run(admitted(closing), laneTaken, unknown(), [absent(true), HOUR_MS]),
      'compensate refund_window_expired',
    ],
    [
      'forbids a key’s repeat, and reads on',
      run(admitted({ ...WITH_KEYS, ...closing }), unknown(), [paused, HOUR_MS]),
      'look',
    ],
    [
      'ends no attempt that is unclear',
      run(admitted(closing), laneTaken, [unknown(), HOUR_MS], [absent(false), HOUR_MS]),
      'pause 5000',
    ],
    [
      'ends no attempt that was accepted',
      run(admitted(closing), laneTaken, [accepted, HOUR_MS], [paused, HOUR_MS]),
      'look',
    ],
    [
      'ends no review',
      run(
        admitted(closing),
        laneTaken,
        unknown(),
        looked({ kind: 'cannotTell', why: '' }),
        [reviewed, HOUR_MS],
        [absent(true), HOUR_MS],
      ),
      'pause 10000',
    ],
  ])('%s', (_case, decision, step) => {
    expect(stepOf(decision)).toBe(step);
  });
});
