import { describe, expect, it } from '@jest/globals';
import { isHandled, lookTold, resolveTold, submitTold } from './told.js';

const WAIT = {
  ...{ state: 'waiting', version: 1, round: 2, required: 2, missing: 2 },
  ...{ requestedAtMs: 0, expiresAtMs: 253_402_300_799_999 },
};
const called = (result: unknown, wakeRefundId: unknown = null) => ({ result, wakeRefundId });
const resolved = (verdict: unknown) => ({ verdict, wakeRefundId: null });
const handled = (standing: unknown, verdict: unknown = { kind: 'done' }) => ({
  verdict,
  standing,
  wakeRefundId: null,
});
const NOTHING = [undefined, null, 7, 'done', [], {}, { kind: 'constructor' }, { kind: 7 }];

describe('what a remote step told', () => {
  it.each<[string, (told: unknown) => unknown, readonly unknown[]]>([
    [
      'of a call',
      submitTold,
      [
        called({ kind: 'done', attempt: 1 }, 'rfd_1'),
        called({ kind: 'notPending', attempt: 0 }),
        called({ kind: 'declined', attempt: 1, resolveFirst: false }),
        called({ kind: 'notNow', attempt: 0, reason: 'insufficient_balance', retryAfterMs: null }),
        called({ kind: 'unknown', attempt: 1, firstSentAtMs: 0, resendAfterMs: 5 }),
        called({ kind: 'ineligible', attempt: 0, code: 'limit_exceeded' }),
      ],
    ],
    [
      'of a look',
      lookTold,
      [
        { kind: 'landed' },
        { kind: 'unclear', providerStatus: '' },
        { kind: 'absent', proven: true, quietUntilMs: 0, accepted: false },
        { kind: 'cannotTell', why: 'two' },
        { kind: 'unavailable', retryAfterMs: null },
        { kind: 'notSent', attempt: 0 },
        { kind: 'awaitsVotes' },
      ],
    ],
    [
      'of a resolution',
      resolveTold,
      [
        resolved({ kind: 'closed', status: 'failed' }),
        resolved({ kind: 'resend', attempt: 1 }),
        resolved({ kind: 'resend', attempt: 1, approval: WAIT }),
        resolved({ kind: 'contradicted', why: 'it is there' }),
        resolved({ kind: 'notInReview' }),
      ],
    ],
  ])('%s is taken as it is', (_case, taken, answers) => {
    for (const answer of answers) expect(taken(answer)).toBe(answer);
  });

  it.each<[string, (told: unknown) => unknown, readonly unknown[]]>([
    [
      'of a call',
      submitTold,
      [
        ...NOTHING.map((result) => called(result)),
        called({ kind: 'done', attempt: '1' }),
        called({ kind: 'done', attempt: 1 }, { id: 1 }),
        called({ kind: 'notNow', attempt: 0, reason: 'no time', retryAfterMs: null }),
        called({ kind: 'notNow', attempt: 0, reason: 'insufficient_balance', retryAfterMs: 'soon' }),
        called({ kind: 'ineligible', attempt: 0, code: 'the customer lied' }),
        called({ kind: 'ineligible', attempt: 0, code: { a: 1 } }),
      ],
    ],
    [
      'of a look',
      lookTold,
      [
        { kind: 'cannotTell', why: '' },
        { kind: 'absent', proven: true, quietUntilMs: 'x', accepted: false },
        { kind: 'notSent', attempt: -1 },
        { kind: 'notSent', attempt: 1e300 },
      ],
    ],
    [
      'of a resolution',
      resolveTold,
      [
        ...NOTHING.map(resolved),
        resolved({ kind: 'closed', status: { a: 1 } }),
        ...[8e15, -1, 1.5, '0', null].map((expiresAtMs) =>
          resolved({ kind: 'resend', attempt: 1, approval: { ...WAIT, expiresAtMs } }),
        ),
        resolved({ kind: 'resend', attempt: 1, approval: { ...WAIT, missing: 'all' } }),
      ],
    ],
  ])('%s is nothing where it is no answer of that step', (_case, taken, answers) => {
    for (const answer of [...NOTHING, ...answers]) expect([answer, taken(answer)]).toEqual([answer, null]);
  });

  it('of a message is judged the same way', () => {
    const answers = [
      handled(null),
      handled(WAIT),
      handled(null, { kind: 'refused', code: 'c', detail: 'd' }),
    ];
    expect(answers.map(isHandled)).toEqual(answers.map(() => true));
    const verdicts = NOTHING.map((verdict) => ({ ...handled(null), verdict }));
    const made = [...NOTHING, ...verdicts, handled(7), handled({})];
    expect(made.map(isHandled)).toEqual(made.map(() => false));
  });
});
