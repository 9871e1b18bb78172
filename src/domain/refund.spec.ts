import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isOpen, mayFollow, REFUND_STATUSES, type RefundStatus } from './refund.js';

const FIRST: readonly RefundStatus[] = ['requires_approval', 'pending'];
const FINAL: readonly RefundStatus[] = ['succeeded', 'failed', 'rejected', 'expired', 'canceled', 'reversed'];
const followers = (from: RefundStatus): RefundStatus[] => REFUND_STATUSES.filter((to) => mayFollow(from, to));

describe('the status table', () => {
  it('opens exactly the statuses that still hold a reservation', () => {
    expect(REFUND_STATUSES.filter(isOpen)).toEqual(['requires_approval', 'pending', 'review']);
    expect(REFUND_STATUSES.filter((status) => !isOpen(status))).toEqual(FINAL);
  });

  it.each<[RefundStatus, RefundStatus[]]>([
    [
      'requires_approval',
      ['requires_approval', 'pending', 'review', 'succeeded', 'failed', 'rejected', 'expired', 'canceled'],
    ],
    ['pending', ['pending', 'review', 'succeeded', 'failed', 'canceled']],
    ['review', ['requires_approval', 'pending', 'review', 'succeeded', 'failed']],
    ['succeeded', ['review', 'reversed']],
    ['failed', ['review']],
    ['rejected', ['review']],
    ['expired', ['review']],
    ['canceled', ['review']],
    ['reversed', ['review']],
  ])('after %s come only %j', (from, to) => {
    expect(followers(from)).toEqual(to);
  });

  it('lets nothing end without money and then succeed unless a person looked at it between', () => {
    const ended: readonly RefundStatus[] = ['failed', 'rejected', 'expired', 'canceled', 'reversed'];
    for (const from of ended) expect(followers(from).every((to) => to === 'review')).toBe(true);
  });

  it('lets a final status be left towards review alone, or from succeeded to reversed', () => {
    fc.assert(
      fc.property(fc.constantFrom(...FINAL), fc.constantFrom(...REFUND_STATUSES), (from, to) => {
        expect(mayFollow(from, to)).toBe(to === 'review' || (from === 'succeeded' && to === 'reversed'));
      }),
    );
  });

  it('reaches every status from the two that a refund begins in', () => {
    const reached = new Set<RefundStatus>(FIRST);
    for (const status of reached) for (const next of followers(status)) reached.add(next);
    expect([...reached].sort()).toEqual([...REFUND_STATUSES].sort());
  });

  it('lets every refund end, from wherever it stands', () => {
    for (const status of REFUND_STATUSES) {
      const reached = new Set<RefundStatus>([status]);
      for (const each of reached) for (const next of followers(each)) reached.add(next);
      expect([...reached].some((each) => !isOpen(each))).toBe(true);
    }
  });
});
