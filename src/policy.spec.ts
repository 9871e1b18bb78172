import { afterAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { approvalsRequired } from './domain/approval.js';
import type { RefundReason } from './domain/refund.js';
import { DEMO_AMOUNT_MINOR } from './embedded/demo.js';
import { readPolicy } from './policy.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const folder = mkdtempSync(join(tmpdir(), 'estorno-policy-'));

afterAll(() => rmSync(folder, { recursive: true }));

describe('readPolicy', () => {
  it('fills in every member that is left out, so that an empty policy is the shipped one without its rules', () => {
    const shipped = readPolicy('config/policy.json');
    expect(policyOf({})).toEqual({
      ...shipped,
      version: expect.not.stringMatching(shipped.version),
      approval: { ...shipped.approval, rules: [] },
    });
    expect(policyOf({})).toMatchObject({
      approval: { rules: [], expiresAfterMs: 7 * DAY_MS, remindEveryMs: DAY_MS, escalateAfterMs: 3 * DAY_MS },
      window: { pixDays: 90, pixWithdrawalMinutes: 60, timeZone: 'America/Sao_Paulo', safetyMinutes: 10 },
      insufficientBalanceWaitMs: 3 * DAY_MS,
      providerUnavailableWaitMs: 7 * DAY_MS,
      processingReviewAfterMs: 2 * DAY_MS,
      outcomeUnknownReviewAfterMs: 6 * HOUR_MS,
      limits: { dailyByActorMinor: null, dailyByProviderMinor: null },
    });
  });

  it('gives equal policies one version and different ones another, however they are written', () => {
    const version = policyOf({}).version;
    expect(version).toMatch(/^[0-9a-f]{12}$/);
    expect(policyOf({ window: { safety_minutes: 10, pix_days: 90 } }).version).toBe(version);
    expect(policyOf({ window: { safety_minutes: 11 } }).version).not.toBe(version);
  });

  it.each([
    ['an unknown member', { windows: {} }, 'windows'],
    ['an unknown member below', { window: { pix_day: 1 } }, 'pix_day'],
    ['months, whose length differs', { insufficient_balance: { wait: 'P1M' } }, 'insufficient_balance.wait'],
    ['years', { approval: { expires_after: 'P1Y' } }, 'approval.expires_after'],
    ['no time at all', { outcome_unknown: { review_after: 'PT0S' } }, 'outcome_unknown.review_after'],
    ['a wait without end', { provider_unavailable: { wait: 'P3651D' } }, 'provider_unavailable.wait'],
    ['words', { provider_unavailable: { wait: 'a week' } }, 'provider_unavailable.wait'],
    ['a zone that nobody knows', { window: { time_zone: 'Mars/Olympus' } }, 'window.time_zone'],
    ['a fraction of a day', { window: { pix_days: 1.5 } }, 'window.pix_days'],
  ])('refuses %s and names the member', (_, policy, member) => {
    expect(() => policyOf(policy)).toThrow(member);
  });

  it('names every wrong member at once', () => {
    expect(() => policyOf({ window: { pix_days: 0, safety_minutes: -1 } })).toThrow(
      /pix_days[^]*safety_minutes/,
    );
  });

  it('reads every condition of a rule, and both limits', () => {
    const when = {
      amount_gte: 1,
      reason: ['duplicate', 'fraudulent'],
      provider: ['efi', 'pagou'],
      requester: ['ana'],
    };
    const policy = policyOf({
      approval: { rules: [{ when, approvals: 3 }] },
      limits: { daily_by_actor: 7, daily_by_provider: 8 },
    });
    expect(policy.approval.rules).toEqual([
      {
        when: {
          amountGteMinor: 1,
          reasons: ['duplicate', 'fraudulent'],
          providers: ['efi', 'pagou'],
          requesters: ['ana'],
        },
        approvals: 3,
      },
    ]);
    expect(policy.limits).toEqual({ dailyByActorMinor: 7, dailyByProviderMinor: 8 });
  });

  it('gives a policy with other rules or limits another version', () => {
    const rule = (approvals: number) => ({ when: { amount_gte: 1 }, approvals });
    const versions = [
      {},
      { approval: { rules: [rule(1)] } },
      { approval: { rules: [rule(2)] } },
      { limits: { daily_by_actor: 1 } },
      { limits: { daily_by_provider: 1 } },
    ].map((policy) => policyOf(policy).version);
    expect(new Set(versions).size).toBe(versions.length);
  });

  it.each([
    ['a provider that does not exist', { when: { provider: ['paypal'] } }, /when\.provider\.0[^]*"picpay"/],
    ['a reason that does not exist', { when: { reason: ['fraud'] } }, /when\.reason\.0/],
    ['a list that holds nothing', { when: { requester: [] } }, /when\.requester/],
    ['no condition', { when: {} }, /rules\.0\.when: must name a condition/],
    ['a condition that nobody knows', { when: { currency: ['BRL'] } }, /currency/],
    ['an amount of none', { when: { amount_gte: 0 } }, /when\.amount_gte/],
    ['a part of a centavo', { when: { amount_gte: 10.5 } }, /when\.amount_gte/],
    ['no approval', { when: { amount_gte: 1 }, approvals: 0 }, /rules\.0\.approvals/],
    [
      'more approvals than there are people',
      { when: { amount_gte: 1 }, approvals: 11 },
      /rules\.0\.approvals/,
    ],
  ])('refuses a rule with %s', (_, rule, message) => {
    expect(() => policyOf({ approval: { rules: [{ approvals: 1, ...rule }] } })).toThrow(message);
  });

  it.each([0, -1, 0.5, '100'])('refuses %p as a limit', (limit) => {
    expect(() => policyOf({ limits: { daily_by_actor: limit } })).toThrow(/limits\.daily_by_actor/);
    expect(() => policyOf({ limits: { daily_by_provider: limit } })).toThrow(/limits\.daily_by_provider/);
  });

  it('names a file that is missing or is no JSON', () => {
    expect(() => readPolicy('/nowhere/policy.json')).toThrow(/\/nowhere\/policy\.json[^]*ENOENT/);
    expect(() => readPolicy(fileWith('{'))).toThrow(/not JSON/);
  });

  it.each([
    [
      'a member twice',
      '{"approval":{"rules":[]},"window":{},"approval":{}}',
      /policy\.json[^]*approval: is there twice/,
    ],
    [
      'a limit twice, once with an escape',
      '{"limits":{"daily_by_actor":1,"daily_by_\\u0061ctor":null}}',
      /twice/,
    ],
    ['a prototype', '{"__proto__":{"approval":{}}}', /__proto__/],
    [
      'a number that is not kept',
      '{"limits":{"daily_by_actor":9007199254740993}}',
      /daily_by_actor: is a number/,
    ],
  ])('refuses %s, of which two readers would read different rules', (_, text, words) => {
    expect(() => readPolicy(fileWith(text))).toThrow(words);
  });
});

describe('the shipped policy', () => {
  const { rules } = readPolicy('config/policy.json').approval;
  const required = (amountMinor: number, reason: RefundReason = 'requested_by_customer') =>
    approvalsRequired(rules, { amountMinor, heldMinor: 0, reason, provider: 'efi', requester: 'ana' });

  it('asks one person from 1,000.00 on or where fraud is the reason, and two from 10,000.00 on', () => {
    expect([99_999, 100_000, 999_999, 1_000_000].map((amount) => required(amount))).toEqual([0, 1, 1, 2]);
    expect([1, 1_000_000].map((amount) => required(amount, 'fraudulent'))).toEqual([1, 2]);
  });

  it('lets the demo’s refunds go without anybody’s approval', () => {
    expect(required(DEMO_AMOUNT_MINOR)).toBe(0);
  });
});

function policyOf(policy: object) {
  return readPolicy(fileWith(JSON.stringify(policy)));
}

function fileWith(text: string): string {
  const file = join(folder, 'policy.json');
  writeFileSync(file, text);
  return file;
}
