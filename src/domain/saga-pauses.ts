/** How long the saga sleeps before it looks at the provider again. */
import { growing, termsOf } from './saga-bounds.js';
import type { Decision, SagaState } from './saga-state.js';

/** So many growing pauses with a look each, then one polling activity for the long silence. */
const LOOKS_BEFORE_WATCH = 6;
/** A refund in review is read on for as long as it takes, by one activity after another. */
const REVIEW_WATCH_MS = 30 * 24 * 3_600_000;

/** What ends a watch at once must not start the next one at once: between two such looks lies a pause. */
export function pauseInReview(state: SagaState): Decision {
  const { pollMs, pollMaxMs } = termsOf(state);
  const ms = growing(Math.min(pollMs, pollMaxMs), state.round, pollMaxMs);
  return { state: { ...state, round: state.round + 1 }, step: { kind: 'pause', ms, why: 'outcome_unknown' } };
}

/** A pause before the next look (or repeat), growing by round; after some rounds one watching activity takes over. */
export function pauseBeforeLook(
  before: SagaState,
  nowMs: number,
  retryAfterMs: number | null,
  quietUntilMs?: number,
): Decision {
  const terms = termsOf(before);
  const state: SagaState = { ...before, round: before.round + 1 };
  const longest = state.stage === 'resolving' ? Math.max(terms.quietMs / 3, 250) : terms.pollMaxMs;
  const pace = growing(Math.min(terms.pollMs, longest), before.round, Math.min(longest, terms.pollMaxMs));
  // Once the quiet time is over, one more complete read decides.
  const untilQuiet = quietUntilMs !== undefined && quietUntilMs > nowMs ? quietUntilMs - nowMs : pace;
  const ms = Math.min(Math.max(retryAfterMs ?? 0, Math.min(pace, untilQuiet)), terms.pollMaxMs);

  const mayWatch = (state.stage === 'confirming' || state.stage === 'review') && state.refusals === 0;
  if (mayWatch && state.round > LOOKS_BEFORE_WATCH) {
    const untilMs =
      state.stage === 'review' ? nowMs + REVIEW_WATCH_MS : state.stageSinceMs + terms.processingReviewAfterMs;
    if (untilMs > nowMs) return { state, step: { kind: 'watch', untilMs } };
  }
  return {
    state,
    step: {
      kind: 'pause',
      ms,
      why: state.stage === 'confirming' ? 'provider_processing' : 'outcome_unknown',
    },
  };
}
