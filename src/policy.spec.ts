import { afterAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readPolicy } from './policy.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const folder = mkdtempSync(join(tmpdir(), 'estorno-policy-'));

afterAll(() => rmSync(folder, { recursive: true }));

describe('readPolicy', () => {
  it('fills in every member that is left out, so that an empty policy is the shipped one', () => {
    expect(policyOf({})).toEqual(readPolicy('config/policy.json'));
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

  it('stops at what nobody would hold yet: approval rules and limits', () => {
    const rule = { when: { amount_gte: 100_000 }, approvals: 1 };
    expect(() => policyOf({ approval: { rules: [rule] } })).toThrow(/approvals are not built yet/);
    expect(() => policyOf({ limits: { daily_by_actor: 1 } })).toThrow(/daily_by_actor/);
  });

  it('names a file that is missing or is no JSON', () => {
    expect(() => readPolicy('/nowhere/policy.json')).toThrow(/\/nowhere\/policy\.json[^]*ENOENT/);
    expect(() => readPolicy(fileWith('{'))).toThrow(/not JSON/);
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
