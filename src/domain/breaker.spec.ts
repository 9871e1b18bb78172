import { describe, expect, it } from '@jest/globals';
import {
  afterCall,
  breakerState,
  FAILURES_TO_OPEN,
  readingTold,
  submitTold,
  turnAtMs,
  turnsGiven,
  UNTROUBLED,
  type Breaker,
  type CallResult,
} from './breaker.js';

const NOW_MS = Date.parse('2026-03-10T12:00:00Z');
const RETRY_MAX_MS = 5_000;
const failed: CallResult = { kind: 'failed' };
const answered: CallResult = { kind: 'answered' };

const call = (before: Breaker, result: CallResult, probe = false, nowMs = NOW_MS): Breaker =>
  afterCall(before, result, { probe, retryMaxMs: RETRY_MAX_MS, nowMs });
const failing = (times: number): Breaker =>
  Array.from({ length: times }).reduce<Breaker>((breaker) => call(breaker, failed), UNTROUBLED);
const open = failing(FAILURES_TO_OPEN);

describe('a breaker', () => {
  it('opens with the fifth failure in a row, and not before', () => {
    expect(breakerState(failing(4), NOW_MS)).toBe('closed');
    expect(open).toMatchObject({ openedAtMs: NOW_MS, probeAtMs: NOW_MS + 1_000 });
    expect(breakerState(call(call(failing(4), answered), failed), NOW_MS)).toBe('closed');
  });

  it('is half open once its probe is due', () => {
    expect(breakerState(open, NOW_MS + 999)).toBe('open');
    expect(breakerState(open, NOW_MS + 1_000)).toBe('half_open');
  });

  it('doubles its pause with each failed probe, up to the longest', () => {
    let breaker = open;
    const pauses = [1, 2, 3, 4].map(() => {
      breaker = call(breaker, failed, true);
      return breaker.probeAtMs! - NOW_MS;
    });
    expect(pauses).toEqual([2_000, 4_000, RETRY_MAX_MS, RETRY_MAX_MS]);
  });

  it('learns nothing from calls that were under way when it opened', () => {
    expect(call(open, failed)).toEqual(open);
  });

  it('closes with an answer, and keeps when', () => {
    expect(call(call(open, failed, true), answered, true, NOW_MS + 7)).toEqual({
      ...UNTROUBLED,
      closedAtMs: NOW_MS + 7,
    });
    expect(call(failing(2), answered).closedAtMs).toBeNull();
  });

  it('is neither opened nor closed by answers that nobody can read', () => {
    const unclear: CallResult = { kind: 'unclear' };
    expect(call(failing(4), unclear)).toEqual(failing(4));
    expect(call(open, unclear, true)).toMatchObject({ openedAtMs: NOW_MS, failedProbes: 1 });
  });

  it('holds for as long as the provider asks, within bounds, and does not open for it', () => {
    const limited = (retryAfterMs: number): CallResult => ({ kind: 'limited', retryAfterMs });
    expect(call(failing(4), limited(3_000))).toEqual({ ...failing(4), holdUntilMs: NOW_MS + 3_000 });
    expect(call(UNTROUBLED, limited(3_600_000)).holdUntilMs).toBe(NOW_MS + RETRY_MAX_MS);
    expect(call(call(UNTROUBLED, limited(3_000)), limited(10)).holdUntilMs).toBe(NOW_MS + 3_000);
    expect(call(open, limited(3_000), true)).toMatchObject({
      openedAtMs: NOW_MS,
      probeAtMs: NOW_MS + 3_000,
      failedProbes: 0,
    });
  });
});

describe('what a call tells of its provider', () => {
  const error = { code: 'x', message: 'x' };
  const unavailable = { kind: 'unavailable', reason: 'provider_unavailable', detail: 'x' } as const;

  it('of a reading: refusals are answers, silence is not, Retry-After is a hold', () => {
    expect(readingTold({ kind: 'notFound', detail: 'x' })).toEqual(answered);
    expect(readingTold({ kind: 'unreadable', detail: 'x' })).toEqual({ kind: 'unclear' });
    expect(readingTold({ ...unavailable, retryAfterMs: null })).toEqual(failed);
    expect(readingTold({ ...unavailable, retryAfterMs: 0 })).toEqual(failed);
    expect(readingTold({ ...unavailable, retryAfterMs: 50 })).toEqual({ kind: 'limited', retryAfterMs: 50 });
    expect(readingTold({ ...unavailable, reason: 'authorization_required', retryAfterMs: null })).toEqual(
      answered,
    );
  });

  it('of a submit: unclear outcomes and refused connections are failures, whatever Retry-After says', () => {
    expect(submitTold({ kind: 'unknown', error, retryAfterMs: 50 })).toEqual(failed);
    const notNow = { kind: 'notNow', error, retryAfterMs: null } as const;
    expect(submitTold({ ...notNow, reason: 'provider_unavailable' })).toEqual(failed);
    expect(submitTold({ ...notNow, reason: 'insufficient_balance' })).toEqual(answered);
    expect(submitTold({ ...notNow, reason: 'authorization_required' })).toEqual(answered);
    expect(submitTold({ ...notNow, reason: 'send_by_passed' })).toBeNull();
    expect(submitTold({ kind: 'declined', error, mayBeOurs: true })).toEqual(answered);
  });
});

describe('turns after trouble', () => {
  it('begin once all have lined up: a few at first, then ever more', () => {
    expect(turnAtMs(NOW_MS, 0)).toBe(NOW_MS + 1_500);
    expect(turnAtMs(NOW_MS, 1)).toBe(NOW_MS + 2_000);
    expect(turnAtMs(NOW_MS, 500) - NOW_MS).toBeLessThan(15_000);
  });

  it('are as many as have come', () => {
    for (const rank of [0, 1, 2, 9, 100, 5_000]) {
      const nowMs = Math.ceil(turnAtMs(NOW_MS, rank));
      expect(turnsGiven(NOW_MS, nowMs)).toBeGreaterThanOrEqual(rank + 1);
      expect(turnsGiven(NOW_MS, nowMs - 10)).toBeLessThan(rank + 1);
    }
  });
});
