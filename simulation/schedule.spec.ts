import { describe, expect, it } from '@jest/globals';
import { playAll } from './batch.js';
import { REAL_RULES } from './rules.js';
import { play } from './schedule.js';

describe('a schedule', () => {
  it('is the same for the same seed, to the last step', () => {
    for (const seed of [1, 77, 4_711]) {
      const [once, again]: [string[], string[]] = [[], []];
      expect(play(seed, REAL_RULES, once)).toEqual(play(seed, REAL_RULES, again));
      expect(once.length).toBeGreaterThan(10);
      expect(again).toEqual(once);
      expect(play(seed).broken).toBeNull();
    }
  });

  it('meets every fault, and every end, often enough to prove something', () => {
    const { ends, approvals, faults } = playAll({ first: 1, count: 1_000, step: 1 });
    for (const end of ENDS) expect([end, (ends[end] ?? 0) > 0]).toEqual([end, true]);
    for (const end of ROUND_ENDS) expect([end, (approvals[end] ?? 0) > 0]).toEqual([end, true]);
    for (const fault of FAULTS) expect([fault, (faults[fault] ?? 0) > 0]).toEqual([fault, true]);
  });
});

const ENDS = [
  'succeeded',
  'refused',
  'review',
  'queued behind review',
  'failed: provider_declined',
  'failed: refund_window_expired',
  'rejected',
  'expired',
  'canceled',
];

const ROUND_ENDS = [
  'approved',
  'rejected',
  'canceled',
  'expired by the policy',
  'expired by the window',
  'approved, a later round',
  'rejected, a later round',
];

const FAULTS = [
  'call lost before the effect',
  'answer lost after the effect',
  'declined after the effect',
  'effect after the quiet time',
  'declined',
  'listed late',
  'unclear status',
  'strange status',
  'reading failed',
  'stale reading',
  'cut reading',
  'provider unreachable',
  'no balance',
  'login refused',
  'retry-after',
  'slow answer',
  'ledger away',
  'worker killed',
  'worker frozen',
  'second worker',
  'result lost',
  'given up by the engine',
  'ledger step repeated',
  'process lost',
  'reset',
  'sent too late',
  'clock jump',
  'out of turn',
  'duplicate hint',
  'wake-up lost',
  'panel refund',
  'claim: exists',
  'claim: laneLost',
  'claim: unusableReading',
  'claim: earlierOpen',
  'claim: refundClosed',
  'told late',
  'workflow task late',
  'message: approves',
  'message: rejects',
  'message: repeated',
  'message: self_approval_forbidden',
  'message: already_final',
  'message: approval_conflict',
  'message: cancels',
  'message: on its way',
  'message: not_cancelable',
  'message: extends',
  'message: extension_beyond_window',
  'resolution: resend',
  'resolution: refused',
];
