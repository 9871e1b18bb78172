import { describe, expect, it } from '@jest/globals';
import { findRefund, type AttemptView, type OtherRefunds } from './matching.js';
import type { PaymentSnapshot, ProviderRefund } from './provider.js';

const entry = (id: string | null, amountMinor = 1_000): ProviderRefund => ({
  providerRefundId: id,
  amountMinor,
  status: 'succeeded',
  providerStatus: 'listed',
});

function shown(refunds: readonly ProviderRefund[], totalOnlyMinor?: number): PaymentSnapshot {
  return {
    status: 'refundable',
    providerStatus: 'PAID',
    providerPaymentReference: null,
    amountMinor: 5_000,
    amountMayBeReduced: false,
    currency: 'BRL',
    method: null,
    paidAtMs: null,
    refunds,
    ...(totalOnlyMinor === undefined ? {} : { totalOnlyMinor }),
    complete: true,
  };
}

function attempt(before: PaymentSnapshot): AttemptView {
  return { amountMinor: 1_000, before, providerRefundId: null, accepted: false, onlyOneRefund: false };
}

/** Another refund of ours was under way when this one was claimed, and has landed since. */
function around(...landedAroundMinor: number[]): OtherRefunds {
  return { claimedIds: new Set(), landedSinceMinor: [], landedAroundMinor, anotherIsOpen: false };
}

describe('refunds that were under way at once', () => {
  it.each<[string, readonly ProviderRefund[], readonly ProviderRefund[], string]>([
    [
      'the other before the snapshot, ours after it: either fits, nobody is told',
      [entry('a')],
      [entry('a'), entry('b')],
      'cannotTell',
    ],
    ['neither before, both after: ours is there', [], [entry('a'), entry('b')], 'found'],
    ['neither before, one after: that is the one that is known to have landed', [], [entry('a')], 'absent'],
    ['the other before, nothing new: ours is not there', [entry('a')], [entry('a')], 'absent'],
    ['neither before nor after: a reading that lacks what landed', [], [], 'incomplete'],
  ])('%s', (_case, before, now, kind) => {
    expect(findRefund(attempt(shown(before)), shown(now), around(1_000)).kind).toBe(kind);
  });

  it('tells them apart where amounts do', () => {
    const match = findRefund(attempt(shown([])), shown([entry('a', 300), entry('b')]), around(300));
    expect(match).toMatchObject({ kind: 'found', refund: { providerRefundId: 'b' } });
  });

  it('gives up on more of them than a reading can tell apart', () => {
    const many = around(1, 2, 3, 4, 5, 6, 7);
    expect(findRefund(attempt(shown([])), shown([]), many).kind).toBe('cannotTell');
  });
});

describe('a list after a total', () => {
  const NONE = around();
  it.each<[string, number, readonly ProviderRefund[], string]>([
    ['with nothing beyond the total does not have ours', 1_000, [entry('a')], 'absent'],
    ['with our amount beyond the total has ours', 400, [entry('a', 400), entry('b')], 'found'],
    ['with another amount beyond it does not tell', 400, [entry('a', 400), entry('b', 999)], 'cannotTell'],
    ['with less than the total is stale', 1_000, [entry('a', 999)], 'incomplete'],
  ])('%s', (_case, beforeMinor, now, kind) => {
    expect(findRefund(attempt(shown([], beforeMinor)), shown(now), NONE).kind).toBe(kind);
  });
});
