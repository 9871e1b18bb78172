import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { approvalEndMs, approvalsRequired, type ApprovalSubject } from './approval.js';
import type { ApprovalRule } from './policy.js';
import { REFUND_REASONS } from './refund.js';

const subject = (changes: Partial<ApprovalSubject> = {}): ApprovalSubject => ({
  amountMinor: 1_000,
  heldMinor: 0,
  reason: 'duplicate',
  provider: 'efi',
  requester: 'ana',
  ...changes,
});
const rule = (when: ApprovalRule['when'], approvals = 1): ApprovalRule => ({ when, approvals });

describe('a rule', () => {
  const from1000 = { amountGteMinor: 1_000 };

  it.each<[string, ApprovalRule['when'], Partial<ApprovalSubject>, boolean]>([
    ['the very amount', from1000, {}, true],
    ['a centavo less', from1000, { amountMinor: 999 }, false],
    ['what went before fills it up', from1000, { amountMinor: 1, heldMinor: 999 }, true],
    ['what went before does not suffice', from1000, { amountMinor: 1, heldMinor: 998 }, false],
    ['one of its reasons', { reasons: ['fraudulent', 'duplicate'] }, {}, true],
    ['none of its reasons', { reasons: ['fraudulent'] }, {}, false],
    ['one of its providers', { providers: ['pagou', 'efi'] }, {}, true],
    ['none of its providers', { providers: ['pagou'] }, {}, false],
    ['one of its requesters', { requesters: ['bob', 'ana'] }, {}, true],
    ['none of its requesters', { requesters: ['bob'] }, {}, false],
    ['a name written otherwise', { requesters: ['Ana'] }, {}, false],
    ['every condition', { ...from1000, reasons: ['duplicate'], providers: ['efi'] }, {}, true],
    ['all conditions but one', { ...from1000, reasons: ['duplicate'], providers: ['pagou'] }, {}, false],
  ])('holds for %s: %j of %j is %p', (_case, when, changes, holds) => {
    expect(approvalsRequired([rule(when)], subject(changes))).toBe(holds ? 1 : 0);
  });
});

describe('several rules', () => {
  it('need the approvals of the highest that matches, wherever it stands', () => {
    const rules = [
      rule({ amountGteMinor: 1 }, 1),
      rule({ reasons: ['duplicate'] }, 3),
      rule({ providers: ['efi'] }, 2),
      rule({ requesters: ['bob'] }, 9),
    ];
    expect(approvalsRequired(rules, subject())).toBe(3);
    expect(approvalsRequired(rules.toReversed(), subject())).toBe(3);
  });

  it('need none where none is written', () => {
    expect(approvalsRequired([], subject({ amountMinor: Number.MAX_SAFE_INTEGER }))).toBe(0);
  });
});

const anyProvider = fc.constantFrom('efi', 'pagou', 'picpay');
const anyRequester = fc.constantFrom('ana', 'bob');
const anyReason = fc.constantFrom(...REFUND_REASONS);
const anyAmount = fc.integer({ min: 1, max: 50 });
const anyRules = fc.array(
  fc.record({
    when: fc.record(
      {
        amountGteMinor: anyAmount,
        reasons: fc.subarray([...REFUND_REASONS], { minLength: 1 }),
        providers: fc.subarray(['efi', 'pagou', 'picpay'], { minLength: 1 }),
        requesters: fc.subarray(['ana', 'bob'], { minLength: 1 }),
      },
      { requiredKeys: [] },
    ),
    approvals: fc.integer({ min: 1, max: 10 }),
  }),
  { maxLength: 6 },
);
const anySubject = fc.record({
  amountMinor: anyAmount,
  heldMinor: fc.nat({ max: 50 }),
  reason: anyReason,
  provider: anyProvider,
  requester: anyRequester,
});

describe('whatever the rules are', () => {
  it('splitting an amount never needs fewer approvals for its last part than the whole would', () => {
    fc.assert(
      fc.property(anyRules, anySubject, fc.array(anyAmount, { maxLength: 5 }), (rules, last, before) => {
        const splitMinor = before.reduce((sum, amountMinor) => sum + amountMinor, 0);
        const whole = { ...last, amountMinor: last.amountMinor + splitMinor };
        const lastPart = { ...last, heldMinor: last.heldMinor + splitMinor };
        expect(approvalsRequired(rules, lastPart)).toBe(approvalsRequired(rules, whole));
      }),
    );
  });

  it('more money never needs fewer approvals, and one more rule neither', () => {
    fc.assert(
      fc.property(anyRules, anyRules, anySubject, fc.nat({ max: 50 }), (rules, more, asked, moreMinor) => {
        const needed = approvalsRequired(rules, asked);
        const larger = { ...asked, amountMinor: asked.amountMinor + moreMinor };
        expect(approvalsRequired(rules, larger)).toBeGreaterThanOrEqual(needed);
        expect(approvalsRequired([...more, ...rules], asked)).toBeGreaterThanOrEqual(needed);
      }),
    );
  });

  it('the order and the repetition of rules change nothing', () => {
    fc.assert(
      fc.property(anyRules, anySubject, (rules, asked) => {
        const needed = approvalsRequired(rules, asked);
        expect(approvalsRequired([...rules.toReversed(), ...rules], asked)).toBe(needed);
        expect([0, ...rules.map(({ approvals }) => approvals)]).toContain(needed);
      }),
    );
  });
});

describe('the end of the wait', () => {
  it.each<[string, number | null, number]>([
    ['without a window', null, 1_700],
    ['before the window’s last instant', 1_701, 1_700],
    ['with it', 1_700, 1_700],
    ['cut short by it', 1_699, 1_699],
    ['of a window that is over', 900, 900],
  ])('is the policy’s or the window’s, whichever is first: %s', (_case, submitBeforeMs, endMs) => {
    expect(approvalEndMs(1_000, 700, submitBeforeMs)).toBe(endMs);
  });
});
