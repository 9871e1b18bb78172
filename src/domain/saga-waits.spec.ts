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
const unknown = (attempt = 1, resendAfterMs: number | null = null): Observation =>
  submitted({ kind: 'unknown', attempt, firstSentAtMs: 0, resendAfterMs });
const notNow = (
  reason: 'insufficient_balance' | 'provider_unavailable' | 'authorization_required',
  retryAfterMs: number | null = null,
): Observation => submitted({ kind: 'notNow', attempt: 0, reason, retryAfterMs });
const absent = (proven: boolean, quietUntilMs = QUIET_MS, wasAccepted = false): Observation =>
  looked({ kind: 'absent', proven, quietUntilMs, accepted: wasAccepted });
const paused: Observation = { kind: 'paused' };
const laneTaken: Observation = { kind: 'laneTaken' };
const laneBusy: Observation = { kind: 'laneBusy' };
const reviewed: Observation = { kind: 'reviewed' };
const closingRefused: Observation = { kind: 'closingRefused' };
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

describe('waiting unsent', () => {
  it.each<[string, Observation, number, string]>([
    ['no balance', notNow('insufficient_balance'), 3 * DAY_MS, 'insufficient_balance'],
    ['provider away', notNow('provider_unavailable'), 7 * DAY_MS, 'provider_unavailable'],
    ['credentials refused', notNow('authorization_required'), 7 * DAY_MS, 'provider_unavailable'],
  ])('has the policy’s bound and says why it ended: %s', (_case, seen, boundMs, reason) => {
    expect(stepOf(run(...sent, seen, [paused, boundMs - 1]))).toBe('takeLane');
    expect(stepOf(run(...sent, seen, [paused, boundMs]))).toBe(`compensate ${reason}`);
    expect(stepOf(run(...sent, seen, [seen, boundMs]))).toBe(`compensate ${reason}`);
    const windowed = [admitted({ submitBeforeMs: HOUR_MS }), laneTaken, seen] as const;
    expect(stepOf(run(...windowed, [paused, HOUR_MS]))).toBe('compensate refund_window_expired');
    expect(stepOf(run(...windowed, [seen, HOUR_MS - 10]))).toBe('pause 10');
  });

  it('in the queue ends with the window alone', () => {
    expect(stepOf(run(admitted(), laneBusy, [paused, 900 * DAY_MS]))).toBe('takeLane');
  });

  it('grows up to the longest retry pause, whatever the provider asks for', () => {
    const waits: string[] = [];
    let decision = run(...sent);
    for (let round = 0; round < 8; round += 1) {
      decision = continued(decision, notNow('provider_unavailable'));
      waits.push(stepOf(decision));
      decision = continued(decision, paused, laneTaken);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => `pause ${seconds * SECOND_MS}`));
    expect(stepOf(run(...sent, notNow('provider_unavailable', 30 * SECOND_MS)))).toBe('pause 30000');
    expect(stepOf(run(...sent, notNow('provider_unavailable', 30 * DAY_MS)))).toBe('pause 60000');
  });

  it('is not prolonged by going from one reason to another and back', () => {
    const flapping = [
      notNow('provider_unavailable'),
      paused,
      laneBusy,
      paused,
      laneTaken,
      notNow('insufficient_balance'),
      paused,
      laneTaken,
    ] as const;
    const later = flapping.map((seen): Seen => [seen, 6 * DAY_MS]);
    const story = [...sent, ...flapping, ...later.slice(0, 5)] as const;
    expect(stepOf(run(...story, [notNow('provider_unavailable'), 7 * DAY_MS]))).toBe(
      'compensate provider_unavailable',
    );
  });
});

describe('a window that closes while nothing can be sent', () => {
  const windowed = (deadlineMs: number | null): Partial<SagaTerms> => ({
    deadlineMs,
    submitBeforeMs: deadlineMs && deadlineMs - 600 * SECOND_MS,
    providerUnavailableWaitMs: 90 * DAY_MS,
    reminders: { everyMs: HOUR_MS, escalateAfterMs: HOUR_MS },
  });
  const away = notNow('provider_unavailable');
  const unsent = run(admitted(windowed(10 * DAY_MS)), laneTaken, away);
  const warnedOf = ({ step }: Decision): unknown => 'of' in step && 'daysLeft' in step.of && step.of.daysLeft;

  it('is warned of in time, once each, and what was to be tried is tried right after', () => {
    expect(stepOf(continued(unsent, [paused, 3 * DAY_MS - 1]))).toBe('takeLane');
    const warned = continued(unsent, [paused, 3 * DAY_MS]);
    expect(warnedOf(warned)).toBe(7);
    const later = continued(warned, [{ kind: 'reminded' }, 3 * DAY_MS]);
    expect(stepOf(later)).toBe('takeLane');
    const waiting = continued(later, [laneTaken, 3 * DAY_MS], [away, 3 * DAY_MS]);
    expect(stepOf(continued(waiting, [paused, 8 * DAY_MS - 1]))).toBe('takeLane');
    expect(warnedOf(continued(waiting, [paused, 8 * DAY_MS]))).toBe(2);
    expect(warnedOf(continued(waiting, [paused, 9 * DAY_MS]))).toBe(1);
    expect(warnedOf(run(admitted(windowed(5 * DAY_MS)), laneBusy, paused))).toBe(7);
  });

  it('is not warned of when it is over', () => {
    const endMs = 10 * DAY_MS - 600 * SECOND_MS;
    expect(warnedOf(continued(unsent, [paused, endMs - 1]))).toBe(1);
    expect(stepOf(continued(unsent, [paused, endMs]))).toBe('compensate refund_window_expired');
  });

  it('is not warned of where there is none, where older code admitted, or once the refund is under way', () => {
    const { reminders: _, ...older } = windowed(5 * DAY_MS);
    for (const terms of [windowed(null), older]) {
      expect(stepOf(run(admitted(terms), laneTaken, away, [paused, 4 * DAY_MS]))).toBe('takeLane');
    }
    expect(stepOf(run(admitted(windowed(5 * DAY_MS)), laneTaken, accepted, [paused, DAY_MS]))).toBe('look');
  });
});

describe('reading on', () => {
  /** One observation again and again, each after the pause before it. */
  function again(from: Decision, seen: Observation, times: number): { steps: string[]; last: Decision } {
    const steps: string[] = [];
    let [last, nowMs] = [from, 0];
    for (let round = 0; round < times; round += 1) {
      last = continued(last, [seen, nowMs]);
      steps.push(stepOf(last));
      nowMs += last.step.kind === 'pause' ? last.step.ms : 0;
      last = continued(last, [paused, nowMs]);
    }
    return { steps, last };
  }

  it('grows its pauses, then hands over to one watching activity, until the policy asks for a person', () => {
    const { steps } = again(run(...sent, accepted, paused), looked({ kind: 'processing' }), 7);
    expect(steps).toEqual([
      'pause 10000',
      'pause 20000',
      'pause 40000',
      'pause 80000',
      'pause 160000',
      'watch',
      'watch',
    ]);
    expect(stepOf(run(...sent, accepted, [paused, 2 * DAY_MS - 1]))).toBe('look');
    expect(stepOf(run(...sent, accepted, [paused, 2 * DAY_MS]))).toBe('review');
  });

  it('paces an unclear outcome by the quiet time, decides right after it, and asks for a person in the end', () => {
    const { steps } = again(run(...sent, unknown()), absent(false, 60 * SECOND_MS), 8);
    expect(steps.slice(0, 4)).toEqual(['pause 5000', 'pause 10000', 'pause 20000', 'pause 25000']);
    expect(steps.slice(4)).toEqual(['pause 80000', 'pause 160000', 'pause 300000', 'pause 300000']);
    expect(stepOf(run(...sent, unknown(), absent(false), [paused, 6 * HOUR_MS]))).toBe('review');
  });

  it('goes on in review without end, by pauses where each reading ends a watch at once', () => {
    const inReview = run(...sent, unknown(), looked({ kind: 'cannotTell', why: 'two' }), reviewed, paused);
    for (const seen of [
      looked({ kind: 'cannotTell', why: 'two' }),
      looked({ kind: 'notSent', attempt: 1 }),
    ]) {
      const { steps } = again(inReview, seen, 14);
      expect(new Set(steps.map((step) => step.split(' ')[0]))).toEqual(new Set(['pause']));
      expect(steps.at(-1)).toBe(`pause ${HOUR_MS}`);
    }
    expect(again(inReview, absent(true), 8).steps.at(-1)).toBe('watch');
  });

  it('leaves review by itself when the provider decides', () => {
    const inReview = run(
      ...sent,
      accepted,
      [paused, 2 * DAY_MS],
      [reviewed, 2 * DAY_MS],
      [paused, 2 * DAY_MS],
    );
    expect(stepOf(continued(inReview, looked({ kind: 'landed' })))).toBe('settle');
    expect(stepOf(continued(inReview, looked({ kind: 'rejected' })))).toBe('compensate provider_declined');
  });
});

describe('a ledger that refuses to close', () => {
  it('is believed: what it holds is read once more, then a person must look, ever more rarely', () => {
    const refused = run(...sent, done, closingRefused);
    expect(stepOf(refused)).toBe('pause 5000');
    let decision = continued(refused, paused, looked({ kind: 'landed' }), closingRefused);
    expect(stepOf(decision)).toBe('review');
    for (let round = 0; round < 12; round += 1) {
      decision = continued(decision, reviewed);
      expect(decision.step.kind).toBe('pause');
      if (round < 11) decision = continued(decision, paused, looked({ kind: 'landed' }), closingRefused);
    }
    expect(stepOf(decision)).toBe(`pause ${HOUR_MS}`);
  });

  it('never makes a key be sent again that was accepted', () => {
    expect(
      stepOf(run(...sentWithKey, accepted, paused, looked({ kind: 'rejected' }), closingRefused, paused)),
    ).toBe('look');
  });
});
