/** What the provider answered to a call, written before anybody acts on it. */
import { assertNever } from '../domain/errors.js';
import type { ProviderError, SubmitOutcome } from '../domain/provider.js';
import type { SubmitResult } from '../domain/saga-state.js';
import {
  attemptUpdate,
  landed,
  otherOwner,
  noticeLateMoney,
  showOrAppend,
  appendEvent,
  type Subject,
  type AttemptColumns,
} from './attempt-writes.js';
import { lockWithAttempts, openOrLanded, type AttemptRow } from './attempts.js';
import type { Database, LedgerTransaction } from './database.js';
import type { WriteBeside } from './event-chain.js';
import { releaseLane } from './lanes.js';
import { showPending, type RefundRow } from './refunds.js';
import { storable } from './storable-text.js';

export interface Recorded<Result> {
  readonly result: Result;
  /** Who waits for the lane that this gave back. */
  readonly wakeRefundId: string | null;
}

/**
 * Stores the classified answer to one call. An answer that comes after the attempt was concluded otherwise is kept
 * too, and reopens the attempt where money may have moved.
 */
export async function recordAnswer(
  db: Database,
  answered: {
    refundId: string;
    number: number;
    outcome: SubmitOutcome;
    nowMs: number;
    /** Until when whoever called waits for the provider's webhook, should the answer be no more than a promise. */
    watchedUntilMs?: number;
  },
): Promise<Recorded<SubmitResult>> {
  return db.transaction().execute(async (trx) => {
    const { refundId, number } = answered;
    const { payment, refund, attempts } = await lockWithAttempts(trx, refundId, number);
    const attempt = attemptNumbered(attempts, number);
    const outcome = await understood(trx, refund, attempt, storable(answered.outcome));
    if (outranked(attempt, outcome)) return keepOutranked(trx, refund, attempt, outcome, answered.nowMs);
    return applyAnswer(trx, { payment, refund, attempts, attempt }, outcome, answered);
  });
}

async function applyAnswer(
  trx: LedgerTransaction,
  subject: Subject,
  outcome: SubmitOutcome,
  { nowMs, watchedUntilMs }: { readonly nowMs: number; readonly watchedUntilMs?: number },
): Promise<Recorded<SubmitResult>> {
  const { refund, attempts, attempt } = subject;
  const number = attempt.number;
  const unclearBefore = attempt.sends > 1 || attempts.some((other) => other.conclusion === 'absent');
  const event = { type: 'attempt_answered', data: { attempt: number, answer: outcome } };
  const noted = (columns: AttemptColumns) =>
    attemptUpdate(attempt, { answer: JSON.stringify(outcome), ...columns });

  switch (outcome.kind) {
    case 'done': {
      const beside = noted({
        ...landed(
          outcome.providerRefundId ?? attempt.provider_refund_id,
          'response',
          outcome.providerStatus,
          nowMs,
        ),
        matched_by: outcome.providerRefundId === null ? null : 'id',
      });
      const told = await appendEvent(trx, refund, event, nowMs, { beside: [beside] });
      await noticeLateMoney(trx, { ...subject, refund: told }, true, nowMs);
      return kept({ kind: 'done', attempt: number });
    }
    case 'accepted': {
      const beside = noted({
        provider_refund_id: outcome.providerRefundId ?? attempt.provider_refund_id,
        conclusion: null,
        concluded_at: null,
        watched_until: watchedUntilMs === undefined ? null : new Date(watchedUntilMs),
      });
      const told = await showOrAppend(trx, refund, 'provider_processing', event, nowMs, {
        beside: [beside],
      });
      await noticeLateMoney(trx, { ...subject, refund: told }, false, nowMs);
      return kept({ kind: 'accepted', attempt: number });
    }
    case 'declined': {
      // The words may mean that the refund landed: by an earlier sending, or by a proxy that repeated this one.
      const resolveFirst = unclearBefore || outcome.mayBeOurs;
      const beside = noted(resolveFirst ? {} : { conclusion: 'declined', concluded_at: new Date(nowMs) });
      await appendEvent(trx, refund, event, nowMs, { beside: [beside] });
      return kept({ kind: 'declined', attempt: number, resolveFirst });
    }
    case 'notNow': {
      // A repeat that never left says nothing of the sending before it.
      if (attempt.sends > 1) return unclear(trx, subject, outcome, null, noted, nowMs);
      await noted({ conclusion: 'not_sent', concluded_at: new Date(nowMs) })(trx).execute();
      const others = attempts.filter((other) => other.number !== number);
      if (refund.status !== 'pending' || openOrLanded(others)) {
        await appendEvent(trx, refund, event, nowMs);
        return kept(notNowResult({ ...outcome, attempt: number }));
      }
      return notNow(trx, refund, { ...outcome, attempt: number }, event, nowMs);
    }
    case 'unknown': {
      const resendAfterMs = outcome.retryAfterMs === null ? null : nowMs + outcome.retryAfterMs;
      return unclear(trx, subject, outcome, resendAfterMs, noted, nowMs);
    }
    default:
      return assertNever(outcome);
  }
}

/**
 * True where the ledger holds a stronger word already: the attempt landed, the provider accepted it, or shows it as
 * not carried out. A slower or repeated call takes nothing from that, unless it says that the money went back.
 */
function outranked(attempt: AttemptRow, outcome: SubmitOutcome): boolean {
  if (attempt.conclusion === 'landed' || attempt.conclusion === 'other_amount') return true;
  if (outcome.kind === 'done') return false;
  if (attempt.conclusion === 'declined' && attempt.matched_by !== null) return true;
  return attempt.answer?.kind === 'accepted' && outcome.kind !== 'accepted';
}

async function keepOutranked(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  outcome: SubmitOutcome,
  nowMs: number,
): Promise<Recorded<SubmitResult>> {
  if (attempt.answer?.kind !== outcome.kind) {
    const data = { attempt: attempt.number, answer: outcome, outranked: true };
    await appendEvent(trx, refund, { type: 'attempt_answered', data }, nowMs);
  }
  return kept(standingResult(attempt));
}

/**
 * Nothing was called: the provider could not be read, or the reading is stale. The lane is given back, unless another
 * worker's attempt turns out to be open.
 */
export async function recordNotNow(
  db: Database,
  seen: {
    refundId: string;
    reason: Extract<SubmitOutcome, { kind: 'notNow' }>['reason'];
    error: ProviderError;
    retryAfterMs: number | null;
    nowMs: number;
  },
): Promise<Recorded<SubmitResult>> {
  return db.transaction().execute(async (trx) => {
    const { refund, attempts } = await lockWithAttempts(trx, seen.refundId);
    const live = openOrLanded(attempts);
    if (live) return kept(standingResult(live));
    const event = { type: 'submit_postponed', data: { reason: seen.reason, error: storable(seen.error) } };
    return notNow(trx, refund, { ...seen, attempt: refund.attempt }, event, seen.nowMs);
  });
}

interface Postponed {
  readonly attempt: number;
  readonly reason: Extract<SubmitOutcome, { kind: 'notNow' }>['reason'];
  readonly error: ProviderError;
  readonly retryAfterMs: number | null;
}

async function notNow(
  trx: LedgerTransaction,
  refund: RefundRow,
  seen: Postponed,
  event: { type: string; data: Record<string, unknown> },
  nowMs: number,
): Promise<Recorded<SubmitResult>> {
  const result = notNowResult(seen);
  // The lane of a refund that waits for people stays its own: what it sent before may still show up.
  if (refund.status !== 'pending') return kept(result);
  await showPending(trx, refund, result.reason, event, nowMs, storable(seen.error));
  return { result, wakeRefundId: await releaseLane(trx, refund, nowMs) };
}

function notNowResult({
  attempt,
  reason,
  retryAfterMs,
}: Postponed): Extract<SubmitResult, { kind: 'notNow' }> {
  const shown = reason === 'send_by_passed' ? 'provider_unavailable' : reason;
  return { kind: 'notNow', attempt, reason: shown, retryAfterMs };
}

async function unclear(
  trx: LedgerTransaction,
  { refund, attempt }: Subject,
  outcome: Extract<SubmitOutcome, { kind: 'unknown' | 'notNow' }>,
  resendAfterMs: number | null,
  noted: (columns: AttemptColumns) => WriteBeside,
  nowMs: number,
): Promise<Recorded<SubmitResult>> {
  const event = { type: 'attempt_answered', data: { attempt: attempt.number, answer: outcome } };
  const resendAfter = resendAfterMs === null ? attempt.resend_after : new Date(resendAfterMs);
  const beside = [noted({ resend_after: resendAfter })];
  // What was proven absent stays so: this answer only says that the call ended without one.
  if (attempt.conclusion === null) {
    await showOrAppend(trx, refund, 'outcome_unknown', event, nowMs, { beside, error: outcome.error });
  } else await appendEvent(trx, refund, event, nowMs, { beside });
  return kept({
    kind: 'unknown',
    attempt: attempt.number,
    firstSentAtMs: attempt.claimed_at.getTime(),
    resendAfterMs,
  });
}

/** What the ledger says of an attempt that was claimed before this call of the activity. */
export function standingResult(attempt: AttemptRow): SubmitResult {
  const number = attempt.number;
  switch (attempt.conclusion) {
    case 'landed':
      return { kind: 'done', attempt: number };
    case 'declined':
      return { kind: 'declined', attempt: number, resolveFirst: false };
    case 'not_sent':
      return { kind: 'notNow', attempt: number, reason: 'provider_unavailable', retryAfterMs: null };
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
            // What is proven absent is not repeated under its key: the next look tells.
            firstSentAtMs: attempt.conclusion === 'absent' ? 0 : attempt.claimed_at.getTime(),
            resendAfterMs: attempt.resend_after?.getTime() ?? null,
          };
    default:
      return assertNever(attempt.conclusion);
  }
}

/** A provider id that another attempt owns can't be this one's: the answer is then not understood. */
async function understood(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  outcome: SubmitOutcome,
): Promise<SubmitOutcome> {
  if (outcome.kind !== 'done' && outcome.kind !== 'accepted') return outcome;
  const owner = await otherOwner(trx, refund, attempt, outcome.providerRefundId);
  if (owner === null) return outcome;
  return {
    kind: 'unknown',
    error: { code: 'refund_id_not_new', message: `The provider answered with the id of ${owner}.` },
    retryAfterMs: null,
  };
}

function attemptNumbered(attempts: readonly AttemptRow[], number: number): AttemptRow {
  const attempt = attempts.find((candidate) => candidate.number === number);
  if (!attempt) throw new Error(`attempt ${number} was never claimed`);
  return attempt;
}

function kept(result: SubmitResult): Recorded<SubmitResult> {
  return { result, wakeRefundId: null };
}
