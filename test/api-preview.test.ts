import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createApiKey } from '../src/ledger/keys.js';
import { readPolicy } from '../src/policy.js';
import { NOW_MS, openFrontDoor, paymentBody, storeRefund, type FrontDoor } from './setup/front-door.js';

let door: FrontDoor;
let bobsKey: string;
let paymentId: string;
beforeAll(async () => {
  const shipped = readPolicy('config/policy.json');
  const rules = [
    { when: { amountGteMinor: 5_000 }, approvals: 1 },
    { when: { reasons: ['fraudulent' as const], requesters: ['bob'] }, approvals: 2 },
  ];
  door = await openFrontDoor({
    policy: {
      ...shipped,
      approval: { ...shipped.approval, rules },
      limits: { dailyByActorMinor: 4_000, dailyByProviderMinor: 6_000 },
    },
  });
  bobsKey = (await createApiKey(door.db, { actor: 'bob', roles: ['requester'], nowMs: NOW_MS })).key;
  const payment = await door.call('POST', '/v1/payments', { body: { ...paymentBody, provider: 'efi' } });
  paymentId = payment.body.id;
  // 23:59:59.999 of the day before, in the policy's zone: held, and no longer of today.
  const yesterdayMs = Date.parse('2026-03-09T23:59:59.999-03:00');
  await storeRefund(door.db, {
    id: 'rfd_yesterday',
    paymentId,
    amountMinor: 1_500,
    createdAtMs: yesterdayMs,
  });
  await storeRefund(door.db, {
    id: 'rfd_today',
    paymentId,
    amountMinor: 3_000,
    createdAtMs: yesterdayMs + 1,
  });
});
afterAll(() => door.close());

const previewOf = async (body: Record<string, unknown>, key?: string) => {
  const answer = await door.call('POST', '/v1/refunds/preview', {
    body: { payment_id: paymentId, reason: 'duplicate', ...body },
    ...(key === undefined ? {} : { key }),
  });
  return answer.body;
};

describe('a preview names the approvals that an admission would ask for', () => {
  it('by the amount with what the payment already holds, so that splitting does not help', async () => {
    expect(await previewOf({ amount: 499 })).toMatchObject({ approval: { required: 0 } });
    expect(await previewOf({ amount: 500 })).toMatchObject({ approval: { required: 1 } });
    expect(await previewOf({})).toMatchObject({ amount: 5_500, approval: { required: 1 } });
  });

  it('by the reason, and by who asks: the actor of the key', async () => {
    const asked = { amount: 1, reason: 'fraudulent' };
    expect(await previewOf(asked)).toMatchObject({ approval: { required: 0 } });
    expect(await previewOf(asked, bobsKey)).toMatchObject({ approval: { required: 2 } });
  });
});

describe('a preview counts what was asked for today in the policy’s zone', () => {
  const limitRule = (passed: boolean, used: { actor: number; amount: number }) => ({
    eligible: passed,
    rules: expect.arrayContaining([
      expect.objectContaining({
        code: 'limit_exceeded',
        passed,
        numbers: {
          amount: used.amount,
          daily_by_actor: 4_000,
          used_by_actor: used.actor,
          daily_by_provider: 6_000,
          used_by_provider: 3_000,
        },
      }),
    ]),
  });

  it('by the actor of the key', async () => {
    expect(await previewOf({ amount: 1_000 })).toMatchObject(
      limitRule(true, { actor: 3_000, amount: 1_000 }),
    );
    expect(await previewOf({ amount: 1_001 })).toMatchObject(
      limitRule(false, { actor: 3_000, amount: 1_001 }),
    );
  });

  it('by the provider, whoever asked', async () => {
    const bobs = (amount: number) => previewOf({ amount }, bobsKey);
    expect(await bobs(3_000)).toMatchObject(limitRule(true, { actor: 0, amount: 3_000 }));
    expect(await bobs(3_001)).toMatchObject(limitRule(false, { actor: 0, amount: 3_001 }));
  });
});
