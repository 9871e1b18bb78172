import type { ActivityDeps } from './deps.js';
import type { Resolution, ResolveActivityResult } from './interface.js';

/** Reads once more, then carries out what a person decided, unless what is shown contradicts it. */
export async function resolve(
  _deps: ActivityDeps,
  _input: { refundId: string; resolution: Resolution },
): Promise<ResolveActivityResult> {
  return { verdict: { kind: 'notInReview' }, wakeRefundId: null };
}
