/** What trouble with a provider means for the next call there. Reads and submits are apart: one may work without the other. */
import { growing } from './saga-bounds.js';
import { assertNever } from './errors.js';
import type { PaymentRead, SubmitOutcome } from './provider.js';

export type Operation = 'read' | 'submit';

/** One provider's breaker of one operation. */
export interface Breaker {
  /** In a row; an answer sets it back. */
  readonly failures: number;
  /** Null while it is closed. */
  readonly openedAtMs: number | null;
  readonly failedProbes: number;
  /** One call may probe from then on; null while it is closed. */
  readonly probeAtMs: number | null;
  /** The provider asked for silence until then. */
  readonly holdUntilMs: number | null;
  readonly closedAtMs: number | null;
}

export const UNTROUBLED: Breaker = {
  failures: 0,
  openedAtMs: null,
  failedProbes: 0,
  probeAtMs: null,
  holdUntilMs: null,
  closedAtMs: null,
};

/** What a call said of the provider, whatever it said of the refund. */
export type CallResult =
  | { readonly kind: 'answered' | 'failed' }
  /** An answer that nobody can read opens nothing and closes nothing. */
  | { readonly kind: 'unclear' }
  | { readonly kind: 'limited'; readonly retryAfterMs: number };

export const FAILURES_TO_OPEN = 5;
const PROBE_FIRST_MS = 1_000;

export type BreakerState = 'closed' | 'open' | 'half_open';

/** `half_open`: the next call is its probe. */
export function breakerState({ openedAtMs, probeAtMs }: Breaker, nowMs: number): BreakerState {
  if (openedAtMs === null) return 'closed';
  return probeAtMs === null || nowMs >= probeAtMs ? 'half_open' : 'open';
}

/** The breaker after a call. `probe`: the call was the one that was let through while it was open. */
export function afterCall(
  before: Breaker,
  result: CallResult,
  { probe, retryMaxMs, nowMs }: { probe: boolean; retryMaxMs: number; nowMs: number },
): Breaker {
  const isOpen = before.openedAtMs !== null;
  switch (result.kind) {
    case 'answered':
      return {
        ...before,
        failures: 0,
        openedAtMs: null,
        failedProbes: 0,
        probeAtMs: null,
        closedAtMs: isOpen ? nowMs : before.closedAtMs,
      };
    case 'limited': {
      const untilMs = nowMs + Math.min(result.retryAfterMs, retryMaxMs);
      const known = Math.min(before.holdUntilMs ?? 0, nowMs + retryMaxMs);
      const holdUntilMs = Math.max(known, untilMs);
      return { ...before, holdUntilMs, probeAtMs: isOpen && probe ? untilMs : before.probeAtMs };
    }
    case 'failed':
    case 'unclear': {
      // Calls that were under way when it opened say nothing new.
      if (isOpen) return probe ? afterFailedProbe(before, retryMaxMs, nowMs) : before;
      if (result.kind === 'unclear') return before;
      const failures = before.failures + 1;
      if (failures < FAILURES_TO_OPEN) return { ...before, failures };
      const probeAtMs = nowMs + Math.min(PROBE_FIRST_MS, retryMaxMs);
      return { ...before, failures, openedAtMs: nowMs, failedProbes: 0, probeAtMs };
    }
    default:
      return assertNever(result);
  }
}

function afterFailedProbe(before: Breaker, retryMaxMs: number, nowMs: number): Breaker {
  const failedProbes = before.failedProbes + 1;
  return {
    ...before,
    failures: before.failures + 1,
    failedProbes,
    probeAtMs: nowMs + growing(PROBE_FIRST_MS, failedProbes, retryMaxMs),
  };
}

/** A provider that answers works, even where it refuses us; only silence, a broken line and its own 408 or 5xx don't. */
export function readingTold(read: PaymentRead): CallResult {
  switch (read.kind) {
    case 'found':
    case 'notFound':
      return { kind: 'answered' };
    case 'unreadable':
      return { kind: 'unclear' };
    case 'unavailable':
      if (read.reason === 'authorization_required') return { kind: 'answered' };
      return read.retryAfterMs !== null && read.retryAfterMs > 0
        ? { kind: 'limited', retryAfterMs: read.retryAfterMs }
        : { kind: 'failed' };
    default:
      return assertNever(read);
  }
}

/** Null where nothing left this process. `Retry-After` to a submit is about that attempt alone. */
export function submitTold(outcome: SubmitOutcome): CallResult | null {
  switch (outcome.kind) {
    case 'done':
    case 'accepted':
    case 'declined':
      return { kind: 'answered' };
    case 'unknown':
      return { kind: 'failed' };
    case 'notNow':
      switch (outcome.reason) {
        case 'provider_unavailable':
          return { kind: 'failed' };
        case 'insufficient_balance':
        case 'authorization_required':
          return { kind: 'answered' };
        case 'send_by_passed':
          return null;
        default:
          return assertNever(outcome.reason);
      }
    default:
      return assertNever(outcome);
  }
}

/** Nobody goes before all have had the time to wake up and line up: else the late ones are overtaken in their sleep. */
const LINE_UP_MS = 1_500;
const SLOW_START_MS = 500;

/** After trouble that ended at `sinceMs`, when a refund may go that has `rank` others before it: a few at first, then ever more. */
export function turnAtMs(sinceMs: number, rank: number): number {
  return sinceMs + LINE_UP_MS + SLOW_START_MS * Math.sqrt(rank);
}

/** How many of the first in line may go at `nowMs`: the inverse of `turnAtMs`. */
export function turnsGiven(sinceMs: number, nowMs: number): number {
  const slowlyMs = nowMs - sinceMs - LINE_UP_MS;
  return slowlyMs < 0 ? 0 : 1 + Math.floor((slowlyMs / SLOW_START_MS) ** 2);
}
