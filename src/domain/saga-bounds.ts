/** How long the saga waits, and until when at the longest. */
import { assertNever } from './errors.js';
import type { FailureReason } from './refund.js';
import type { SagaState, SagaTerms } from './saga-state.js';

/** A repeat under one key is trusted for this long after its first sending; PicPay's retention is not documented. */
export const REPEAT_FOR_MS = 24 * 3_600_000;

/** When waiting with nothing sent ends, by the policy or by the window, and what the refund then failed of. */
export function waitBounds(state: SagaState): { untilMs: number; reason: FailureReason } {
  const terms = termsOf(state);
  const windowMs = terms.submitBeforeMs ?? Infinity;
  const policyMs = policyBoundMs(state);
  return policyMs < windowMs
    ? {
        untilMs: policyMs,
        reason:
          state.wait?.reason === 'insufficient_balance' ? 'insufficient_balance' : 'provider_unavailable',
      }
    : { untilMs: windowMs, reason: 'refund_window_expired' };
}

function policyBoundMs(state: SagaState): number {
  const { wait } = state;
  if (!wait) return Infinity;
  switch (wait.reason) {
    case 'queued':
      return Infinity;
    case 'insufficient_balance':
      return wait.sinceMs + termsOf(state).insufficientBalanceWaitMs;
    case 'provider_unavailable':
    case 'authorization_required':
      return wait.sinceMs + termsOf(state).providerUnavailableWaitMs;
    default:
      return assertNever(wait.reason);
  }
}

/** Whether the same attempt may be sent once more, under its own key. */
export function mayRepeat(state: SagaState, nowMs: number): boolean {
  const terms = termsOf(state);
  return (
    state.stage === 'resolving' &&
    terms.idempotentSubmit &&
    !state.declined &&
    state.firstSentAtMs !== null &&
    nowMs < state.firstSentAtMs + REPEAT_FOR_MS &&
    !windowClosed(state, nowMs)
  );
}

/** The window forbids a new sending; it ends nothing that is already open. */
export function windowClosed(state: SagaState, nowMs: number): boolean {
  const before = termsOf(state).submitBeforeMs;
  return before !== null && nowMs >= before;
}

/** A pause that doubles with each round. */
export function growing(firstMs: number, round: number, mostMs: number): number {
  return Math.min(mostMs, firstMs * 2 ** Math.min(round, 30));
}

/** @throws before admission, which fixes them. */
export function termsOf(state: SagaState): SagaTerms {
  if (!state.terms) throw new Error('no terms before admission');
  return state.terms;
}
