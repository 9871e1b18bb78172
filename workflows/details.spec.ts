import { describe, expect, it } from '@jest/globals';
import { begin } from '../src/domain/saga.js';
import type { ApprovalWait, SagaState, Stage, Step, WaitReason } from '../src/domain/saga-state.js';
import { describeStage } from './details.js';

const NOW_MS = Date.UTC(2026, 0, 10, 12);
const DAY_MS = 86_400_000;
const at = (stage: Stage, reason?: WaitReason): SagaState => ({
  ...begin(NOW_MS),
  stage,
  attempt: 1,
  wait: reason ? { reason, sinceMs: NOW_MS } : null,
});
const pause: Step = { kind: 'pause', ms: 60_000, why: 'outcome_unknown' };

describe('what an operator reads', () => {
  it.each<[Stage, WaitReason | undefined, RegExp]>([
    ['admitting', undefined, /allowed/],
    ['waiting', undefined, /About to ask/],
    ['waiting', 'queued', /Queued behind rfd_first/],
    ['waiting', 'insufficient_balance', /fund the account[^]*Nothing is on its way/],
    ['waiting', 'provider_unavailable', /can’t be reached[^]*Nothing is on its way/],
    ['waiting', 'authorization_required', /renew the credentials[^]*Nothing is on its way/],
    ['submitting', undefined, /Asking the provider/],
    ['resolving', undefined, /unclear[^]*Do not refund it by hand/],
    ['confirming', undefined, /waiting for its confirmation/],
    ['review', undefined, /A person must look[^]*Do not refund it by hand/],
    ['closing', undefined, /Settling/],
    ['ended', undefined, /Ended/],
  ])('%s (%s) says what happens, since when, and what may be done', (stage, reason, expected) => {
    const text = describeStage(at(stage, reason), pause, NOW_MS, 'rfd_first');
    expect(text).toMatch(expected);
    expect(text).toContain('Since 2026-01-10T12:00:00.000Z.');
    expect(text).toContain('Next step at 2026-01-10T12:01:00.000Z');
  });

  it.each<Stage>(['submitting', 'resolving', 'confirming', 'review', 'closing', 'ended'])(
    'never claims in %s that nothing is on its way',
    (stage) => {
      expect(describeStage(at(stage), pause, NOW_MS, null)).not.toContain('Nothing is on its way');
    },
  );

  it('names in approving the missing votes, the deadline, and what may be done', () => {
    const text = describeStage(approving(), pause, NOW_MS, null);
    expect(text).toMatch(/^\*\*Waiting for people: 1 of 2 approvals are missing\*\*\n/);
    expect(text).toContain('Since 2026-01-10T12:00:00.000Z.');
    expect(text).toContain('Next step at 2026-01-10T12:01:00.000Z');
    expect(text).toContain('Asked for at 2026-01-09T12:00:00.000Z.');
    expect(text).toContain('Votes count until 2026-01-16T12:00:00.000Z');
    expect(text).toMatch(/`\/approve`[^]*`\/reject`[^]*`\/extend`[^]*`\/cancel`/);
    expect(text).not.toContain('Escalated');
  });

  it('says in approving what was sent before, and that it waits for too long', () => {
    const text = describeStage(approving({ round: 2 }, true), pause, NOW_MS, null);
    expect(text).toContain('round 2: it was sent before and is to be sent again');
    expect(text).toContain('**Escalated:**');
  });

  it('says that the time for votes is over while the amount is given back', () => {
    expect(describeStage(approving(), { kind: 'expire' }, NOW_MS, null)).toMatch(
      /^\*\*The time for votes is over/,
    );
  });

  it('speaks of votes in approving alone', () => {
    const { approval } = approving();
    const after = { ...at('confirming'), ...(approval ? { approval } : {}) };
    expect(describeStage(after, pause, NOW_MS, null)).not.toMatch(/votes|approv/i);
  });

  it('names the reason for which a reservation is given back', () => {
    const step: Step = { kind: 'compensate', reason: 'provider_declined' };
    expect(describeStage(at('closing'), step, NOW_MS, null)).toContain('provider_declined');
  });
});

function approving(more: Partial<ApprovalWait> = {}, escalated = false): SagaState {
  const wait: ApprovalWait = {
    state: 'waiting',
    version: 2,
    round: 1,
    required: 2,
    missing: 1,
    requestedAtMs: NOW_MS - DAY_MS,
    expiresAtMs: NOW_MS + 6 * DAY_MS,
    ...more,
  };
  return { ...begin(NOW_MS), stage: 'approving', approval: { wait, reminders: 0, escalated } };
}
