import { describe, expect, it } from '@jest/globals';
import { explainReading, findRefund, type AttemptView, type OtherRefunds } from './matching.js';
import type { PaymentSnapshot } from './provider.js';

/** A provider that lists no refunds, only what went back in all. */
function total(totalOnlyMinor: number): PaymentSnapshot {
  return {
    status: 'refundable',
    providerStatus: 'PARTIALLY_REFUNDED',
    providerPaymentReference: null,
    amountMinor: 1_200,
    amountMayBeReduced: false,
    currency: 'BRL',
    method: null,
    paidAtMs: null,
    refunds: [],
    totalOnlyMinor,
    complete: true,
  };
}

function attempt(beforeMinor: number, amountMinor = 200): AttemptView {
  return {
    amountMinor,
    before: total(beforeMinor),
    providerRefundId: null,
    accepted: false,
    onlyOneRefund: false,
  };
}

const ALONE: OtherRefunds = {
  claimedIds: new Set(),
  landedSinceMinor: [],
  landedAroundMinor: [],
  anotherIsOpen: false,
};
const ours = [1, 2].map((number) => ({
  refundId: `rfd_${number}`,
  amountMinor: 200,
  providerRefundId: null,
}));

describe('a total without a list', () => {
  it('is explained by refunds of ours that add up to it', () => {
    expect(explainReading(total(400), ours)).toEqual({ external: [], externalMinor: 0, missing: [] });
  });

  it('shows what is beyond ours as money moved without us', () => {
    expect(explainReading(total(550), ours)).toMatchObject({ externalMinor: 150, missing: [] });
  });

  it('below ours is a stale reading, and says nothing of others', () => {
    expect(explainReading(total(399), ours)).toEqual({ external: [], externalMinor: 0, missing: ours });
  });

  it.each<[string, number, OtherRefunds, string]>([
    ['grown by our amount, is ours', 600, ALONE, 'found'],
    ['as before, does not have it', 400, ALONE, 'absent'],
    ['below what it was, is stale', 399, ALONE, 'incomplete'],
    ['grown by another amount, does not tell', 601, ALONE, 'cannotTell'],
    ['grown twice, does not tell', 800, ALONE, 'cannotTell'],
    [
      'grown beside another open attempt, does not tell',
      600,
      { ...ALONE, anotherIsOpen: true },
      'cannotTell',
    ],
    [
      'grown by what landed beside it, does not have it',
      600,
      { ...ALONE, landedSinceMinor: [200] },
      'absent',
    ],
    ['grown by both, is ours', 800, { ...ALONE, landedSinceMinor: [200] }, 'found'],
    ['lacking what landed beside it, is stale', 500, { ...ALONE, landedSinceMinor: [200] }, 'incomplete'],
  ])('%s', (_case, nowMinor, others, kind) => {
    expect(findRefund(attempt(400), total(nowMinor), others).kind).toBe(kind);
  });

  it('is nothing to compare a later list with, and a list from before is', () => {
    const processing = {
      providerRefundId: null,
      amountMinor: 200,
      status: 'processing' as const,
      providerStatus: '1',
    };
    const list = { ...total(0), refunds: [processing] };
    const { totalOnlyMinor: _, ...listed } = list;
    expect(findRefund(attempt(400), listed, ALONE).kind).toBe('incomplete');
    expect(findRefund({ ...attempt(0), before: listed }, total(400), ALONE).kind).toBe('found');
  });

  it('says of what it found that it was matched by amount', () => {
    expect(findRefund(attempt(0), total(200), ALONE)).toMatchObject({
      matchedBy: 'amount',
      refund: { providerRefundId: null, amountMinor: 200, status: 'succeeded' },
    });
  });
});
