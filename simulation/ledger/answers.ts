import { assertNever } from '../../src/domain/errors.js';
import type { SubmitOutcome } from '../../src/domain/provider.js';
import type { SubmitResult } from '../../src/domain/saga-state.js';
import { attemptsOf, openOrLanded, otherOwner, refundOf, type AttemptRow, type Books } from './books.js';
import { releaseLane } from './lanes.js';
import { noticeLateMoney } from './late-money.js';

export interface Recorded {
  readonly result: SubmitResult;
  readonly wakeRefundId: string | null;
}

type NotNowReason = Extract<SubmitOutcome, { kind: 'notNow' }>['reason'];

/** Stores the classified answer to one call; one that comes late is kept too, and reopens where money may have moved. */
export function recordAnswer(
  books: Books,
  attempt: AttemptRow,
  answered: SubmitOutcome,
  nowMs: number,
): Recorded {
  const outcome = understood(books, attempt, answered);
  if (outranked(attempt, outcome)) return kept(standingResult(attempt));
  const { number } = attempt;
  const others = attemptsOf(books, attempt.refundId).filter((other) => other !== attempt);
  const unclearBefore = attempt.sends > 1 || others.some(({ conclusion }) => conclusion === 'absent');
  switch (outcome.kind) {
    case 'done':
      attempt.answer = outcome;
      attempt.providerRefundId = outcome.providerRefundId ?? attempt.providerRefundId;
      attempt.matchedBy = outcome.providerRefundId === null ? null : 'id';
      attempt.conclusion = 'landed';
      noticeLateMoney(books, attempt, true, nowMs);
      return kept({ kind: 'done', attempt: number });
    case 'accepted':
      attempt.answer = outcome;
      attempt.providerRefundId = outcome.providerRefundId ?? attempt.providerRefundId;
      attempt.conclusion = null;
      noticeLateMoney(books, attempt, false, nowMs);
      return kept({ kind: 'accepted', attempt: number });
    case 'declined': {
      attempt.answer = outcome;
      const resolveFirst = unclearBefore || outcome.mayBeOurs;
      if (!resolveFirst) attempt.conclusion = 'declined';
      return kept({ kind: 'declined', attempt: number, resolveFirst });
    }
    case 'notNow':
      attempt.answer = outcome;
      if (attempt.sends > 1) return unclear(attempt, null);
      attempt.conclusion = 'not_sent';
      if (openOrLanded(others)) return kept(notNowResult(number, outcome.reason, outcome.retryAfterMs));
      return notNow(books, attempt.refundId, number, outcome.reason, outcome.retryAfterMs, nowMs);
    case 'unknown':
      attempt.answer = outcome;
      return unclear(attempt, outcome.retryAfterMs === null ? null : nowMs + outcome.retryAfterMs);
    default:
      return assertNever(outcome);
  }
}

/** Nothing was called; the lane is given back, unless another worker's attempt turns out to be open. */
export function recordNotNow(
  books: Books,
  refundId: string,
  seen: { readonly reason: NotNowReason; readonly retryAfterMs: number | null },
  nowMs: number,
): Recorded {
  const live = openOrLanded(attemptsOf(books, refundId));
  if (live) return kept(standingResult(live));
  return notNow(books, refundId, refundOf(books, refundId).attempt, seen.reason, seen.retryAfterMs, nowMs);
}

/** What the ledger says of an attempt that was claimed before this call. */
export function standingResult(attempt: AttemptRow): SubmitResult {
  const { number } = attempt;
  switch (attempt.conclusion) {
    case 'landed':
      return { kind: 'done', attempt: number };
    case 'declined':
      return { kind: 'declined', attempt: number, resolveFirst: false };
    case 'not_sent':
      return notNowResult(number, 'provider_unavailable', null);
    case 'absent':
    case 'other_amount':
    case null:
      if (attempt.answer?.kind === 'declined') {
        return { kind: 'declined', attempt: number, resolveFirst: true };
      }
      return attempt.answer?.kind === 'accepted'
        ? { kind: 'accepted', attempt: number }
        : {
            kind: 'unknown',
            attempt: number,
            firstSentAtMs: attempt.conclusion === 'absent' ? 0 : attempt.claimedAtMs,
            resendAfterMs: attempt.resendAfterMs,
          };
    default:
      return assertNever(attempt.conclusion);
  }
}

/** True where the ledger holds a stronger word already. */
function outranked(attempt: AttemptRow, outcome: SubmitOutcome): boolean {
  if (attempt.conclusion === 'landed' || attempt.conclusion === 'other_amount') return true;
  if (outcome.kind === 'done') return false;
  if (attempt.conclusion === 'declined' && attempt.matchedBy !== null) return true;
  return attempt.answer?.kind === 'accepted' && outcome.kind !== 'accepted';
}

function understood(books: Books, attempt: AttemptRow, outcome: SubmitOutcome): SubmitOutcome {
  if (outcome.kind !== 'done' && outcome.kind !== 'accepted') return outcome;
  if (otherOwner(books, attempt, outcome.providerRefundId) === null) return outcome;
  return { kind: 'unknown', error: { code: 'refund_id_not_new', message: '' }, retryAfterMs: null };
}

function unclear(attempt: AttemptRow, resendAfterMs: number | null): Recorded {
  attempt.resendAfterMs = resendAfterMs ?? attempt.resendAfterMs;
  const { number, claimedAtMs } = attempt;
  return kept({ kind: 'unknown', attempt: number, firstSentAtMs: claimedAtMs, resendAfterMs });
}

function notNow(
  books: Books,
  refundId: string,
  number: number,
  reason: NotNowReason,
  retryAfterMs: number | null,
  nowMs: number,
): Recorded {
  const result = notNowResult(number, reason, retryAfterMs);
  if (refundOf(books, refundId).status !== 'pending') return kept(result);
  return { result, wakeRefundId: releaseLane(books, refundId, nowMs) };
}

function notNowResult(attempt: number, reason: NotNowReason, retryAfterMs: number | null): SubmitResult {
  const shown = reason === 'send_by_passed' ? 'provider_unavailable' : reason;
  return { kind: 'notNow', attempt, reason: shown, retryAfterMs };
}

function kept(result: SubmitResult): Recorded {
  return { result, wakeRefundId: null };
}
