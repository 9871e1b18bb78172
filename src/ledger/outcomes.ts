/** What came of an attempt: the provider's answer, or what a later reading shows. Written before anybody acts on it. */
import { findRefund, type Match } from '../domain/matching.js';
import type { ProviderError, ProviderRefund, SubmitOutcome } from '../domain/provider.js';
import type { Evidence, EvidenceSource } from '../domain/refund.js';
import type { LookResult, SubmitResult } from '../domain/saga.js';
import { quietFromMs, type AbsenceBounds } from '../domain/absence.js';
import { assertNever } from '../domain/errors.js';
import { attemptsOf, isProvenAbsent, othersOf, type AttemptRow, type AttemptSnapshot } from './attempts.js';
import type { Database, LedgerTransaction } from './database.js';
import { appendRefundEvent } from './event-chain.js';
import { releaseLane } from './lanes.js';
import { lockRefund, showPending, SERVICE_ACTOR, type RefundRow } from './refunds.js';
import { standingOf } from './standing.js';

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
  answered: { refundId: string; number: number; outcome: SubmitOutcome; nowMs: number },
): Promise<Recorded<SubmitResult>> {
  return db.transaction().execute(async (trx) => {
    const { refund } = await lockRefund(trx, answered.refundId);
    const attempts = await attemptsOf(trx, answered.refundId);
    const attempt = attemptNumbered(attempts, answered.number);
    if (attempt.conclusion === 'landed') return kept({ kind: 'done', attempt: attempt.number });
    const unclearBefore = attempt.sends > 1 || attempts.some((other) => other.conclusion === 'absent');
    const outcome = await ownedElsewhere(trx, refund, answered.outcome);
    return applyAnswer(trx, refund, attempt, outcome, unclearBefore, answered.nowMs);
  });
}

async function applyAnswer(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  outcome: SubmitOutcome,
  unclearBefore: boolean,
  nowMs: number,
): Promise<Recorded<SubmitResult>> {
  const number = attempt.number;
  const event = { type: 'attempt_answered', data: { attempt: number, answer: outcome } };
  const note = (columns: AttemptColumns): Promise<void> =>
    updateAttempt(trx, attempt, { answer: JSON.stringify(outcome), ...columns });

  switch (outcome.kind) {
    case 'done':
      await note({
        ...landed(outcome.providerRefundId, 'response', outcome.providerStatus, nowMs),
        matched_by: outcome.providerRefundId === null ? null : 'id',
      });
      await appendEvent(trx, refund, event, nowMs);
      return kept({ kind: 'done', attempt: number });
    case 'accepted':
      await note({ provider_refund_id: outcome.providerRefundId, conclusion: null, concluded_at: null });
      await appendEvent(trx, refund, event, nowMs);
      return kept({ kind: 'accepted', attempt: number });
    case 'declined':
      await note(unclearBefore ? {} : { conclusion: 'declined', concluded_at: new Date(nowMs) });
      await appendEvent(trx, refund, event, nowMs);
      return kept({ kind: 'declined', attempt: number, resolveFirst: unclearBefore });
    case 'notNow': {
      // A repeat that never left says nothing of the sending before it.
      if (attempt.sends > 1) return unclear(trx, refund, attempt, event, null, note, nowMs);
      await note({ conclusion: 'not_sent', concluded_at: new Date(nowMs) });
      return notNow(trx, refund, { ...outcome, attempt: number }, event, nowMs);
    }
    case 'unknown': {
      const resendAfterMs = outcome.retryAfterMs === null ? null : nowMs + outcome.retryAfterMs;
      return unclear(trx, refund, attempt, event, resendAfterMs, note, nowMs);
    }
    default:
      return assertNever(outcome);
  }
}

/** Nothing was called: the provider could not be read, or the reading is stale. The lane is given back. */
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
    const { refund } = await lockRefund(trx, seen.refundId);
    const event = { type: 'submit_postponed', data: { reason: seen.reason, error: seen.error } };
    return notNow(trx, refund, { ...seen, attempt: refund.attempt }, event, seen.nowMs);
  });
}

async function notNow(
  trx: LedgerTransaction,
  refund: RefundRow,
  seen: {
    attempt: number;
    reason: Extract<SubmitOutcome, { kind: 'notNow' }>['reason'];
    retryAfterMs: number | null;
  },
  event: { type: string; data: Record<string, unknown> },
  nowMs: number,
): Promise<Recorded<SubmitResult>> {
  const reason = seen.reason === 'send_by_passed' ? 'provider_unavailable' : seen.reason;
  await showPending(trx, refund, reason, event, nowMs);
  const wakeRefundId = await releaseLane(trx, refund, nowMs);
  return {
    result: { kind: 'notNow', attempt: seen.attempt, reason, retryAfterMs: seen.retryAfterMs },
    wakeRefundId,
  };
}

async function unclear(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  event: { type: string; data: Record<string, unknown> },
  resendAfterMs: number | null,
  note: (columns: AttemptColumns) => Promise<void>,
  nowMs: number,
): Promise<Recorded<SubmitResult>> {
  await note({ resend_after: resendAfterMs === null ? attempt.resend_after : new Date(resendAfterMs) });
  if (refund.status === 'pending' && refund.pending_reason !== 'outcome_unknown') {
    await showPending(trx, refund, 'outcome_unknown', event, nowMs);
  } else {
    await appendEvent(trx, refund, event, nowMs);
  }
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
    case null:
      return attempt.answer?.kind === 'accepted'
        ? { kind: 'accepted', attempt: number }
        : {
            kind: 'unknown',
            attempt: number,
            firstSentAtMs: attempt.claimed_at.getTime(),
            resendAfterMs: attempt.resend_after?.getTime() ?? null,
          };
    default:
      return assertNever(attempt.conclusion);
  }
}

export interface Look {
  readonly refundId: string;
  readonly reading: AttemptSnapshot;
  readonly source: EvidenceSource;
  readonly onlyOneRefund: boolean;
  readonly bounds: Pick<AbsenceBounds, 'providerTimeoutMs' | 'quietMs'>;
  readonly nowMs: number;
}

/** Null where there is an open attempt to look for; else what the ledger knows without looking. */
export async function lookNeeded(db: Database, refundId: string): Promise<LookResult | null> {
  const last = (await attemptsOf(db, refundId)).at(-1);
  if (!last || last.conclusion === 'not_sent') return { kind: 'notSent', attempt: last?.number ?? 0 };
  if (last.conclusion === 'landed') return { kind: 'landed' };
  if (last.conclusion === 'declined') return { kind: 'rejected' };
  return null;
}

/** Finds the last attempt in a reading and stores what that says, evidence included. */
export async function recordLook(db: Database, look: Look): Promise<LookResult> {
  return db.transaction().execute(async (trx) => {
    const { payment, refund } = await lockRefund(trx, look.refundId);
    const attempt = (await attemptsOf(trx, look.refundId)).at(-1);
    if (!attempt || attempt.conclusion === 'not_sent') return { kind: 'notSent', attempt: attempt?.number ?? 0 };
    if (attempt.conclusion === 'landed') return { kind: 'landed' };
    if (attempt.conclusion === 'declined') return { kind: 'rejected' };

    await noteLook(trx, refund.id, look.nowMs);
    const match = findRefund(
      {
        amountMinor: attempt.amount_minor,
        before: attempt.snapshot,
        providerRefundId: attempt.provider_refund_id,
        accepted: attempt.answer?.kind === 'accepted',
        onlyOneRefund: look.onlyOneRefund,
      },
      look.reading,
      othersOf(attempt, await standingOf(trx, payment)),
    );
    return applyMatch(trx, refund, attempt, match, look);
  });
}

/** A look that brought nothing still counts as one, for whoever asked for a refresh. */
export async function noteLook(db: Database | LedgerTransaction, refundId: string, nowMs: number): Promise<void> {
  await db
    .updateTable('refunds')
    .set({ last_looked_at: new Date(nowMs) })
    .where('id', '=', refundId)
    .execute();
}

async function applyMatch(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  match: Match,
  look: Look,
): Promise<LookResult> {
  switch (match.kind) {
    case 'found':
      return applyFound(trx, refund, attempt, match.refund, match.matchedBy, look);
    case 'absent':
      return applyAbsent(trx, refund, attempt, look);
    case 'incomplete':
      return { kind: 'unavailable', retryAfterMs: null };
    case 'cannotTell':
      return { kind: 'cannotTell', why: match.why };
    case 'otherAmount': {
      const why = `The provider booked ${match.refund.amountMinor} under this refund, asked were ${attempt.amount_minor}.`;
      await appendEvent(trx, refund, { type: 'other_amount_seen', data: { shown: match.refund, attempt: attempt.number } }, look.nowMs);
      return { kind: 'otherAmount', why };
    }
    default:
      return assertNever(match);
  }
}

async function applyFound(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  shown: ProviderRefund,
  matchedBy: 'id' | 'amount' | 'status',
  look: Look,
): Promise<LookResult> {
  const event = {
    type: 'attempt_found',
    data: { attempt: attempt.number, shown, matched_by: matchedBy, source: look.source },
  };
  const firstSight = attempt.matched_by === null;
  const seen = { provider_refund_id: shown.providerRefundId ?? attempt.provider_refund_id, matched_by: matchedBy };
  switch (shown.status) {
    case 'succeeded':
      await updateAttempt(trx, attempt, {
        ...seen,
        ...landed(seen.provider_refund_id, look.source, shown.providerStatus, look.reading.readAtMs),
      });
      await appendEvent(trx, refund, event, look.nowMs);
      return { kind: 'landed' };
    case 'rejected':
      await updateAttempt(trx, attempt, {
        ...seen,
        conclusion: 'declined',
        concluded_at: new Date(look.nowMs),
        answer: JSON.stringify({
          kind: 'declined',
          error: { code: shown.providerStatus, message: 'The provider shows the refund as not carried out.' },
          mayBeOurs: false,
        } satisfies SubmitOutcome),
      });
      await appendEvent(trx, refund, event, look.nowMs);
      return { kind: 'rejected' };
    case 'processing':
      await updateAttempt(trx, attempt, seen);
      if (firstSight) await appendEvent(trx, refund, event, look.nowMs);
      await showPending(trx, await reread(trx, refund), 'provider_processing', event, look.nowMs);
      return { kind: 'processing' };
    case 'unclear':
    case 'unknown':
      await updateAttempt(trx, attempt, seen);
      if (firstSight) await appendEvent(trx, refund, event, look.nowMs);
      return { kind: shown.status === 'unclear' ? 'unclear' : 'unknownStatus', providerStatus: shown.providerStatus };
    default:
      return assertNever(shown.status);
  }
}

async function applyAbsent(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  look: Look,
): Promise<LookResult> {
  const accepted = attempt.answer?.kind === 'accepted';
  const quietUntilMs = quietFromMs({ ...look.bounds, sendByMs: attempt.send_by.getTime() }) + look.bounds.quietMs;
  if (accepted) return { kind: 'absent', proven: false, accepted, quietUntilMs };

  const absentReads = [...attempt.absent_reads, { readAtMs: look.reading.readAtMs }];
  const proven = isProvenAbsent({ ...attempt, absent_reads: absentReads }, look.bounds);
  // After a declined repeat the provider's own word ends it; absence only shows that no earlier sending landed.
  const conclusion = attempt.answer?.kind === 'declined' ? 'declined' : 'absent';
  await updateAttempt(trx, attempt, {
    absent_reads: JSON.stringify(absentReads),
    ...(proven ? { conclusion, concluded_at: new Date(look.nowMs) } : {}),
  });
  if (proven) {
    const data = { attempt: attempt.number, reads: absentReads.length, conclusion };
    await appendEvent(trx, refund, { type: 'attempt_absent', data }, look.nowMs);
  }
  return { kind: 'absent', proven, accepted, quietUntilMs };
}

type AttemptColumns = Parameters<typeof updateAttempt>[2];

async function updateAttempt(
  trx: LedgerTransaction,
  attempt: AttemptRow,
  columns: {
    answer?: string;
    resend_after?: Date | null;
    provider_refund_id?: string | null;
    evidence?: string;
    matched_by?: AttemptRow['matched_by'];
    absent_reads?: string;
    conclusion?: AttemptRow['conclusion'];
    concluded_at?: Date | null;
  },
): Promise<void> {
  await trx
    .updateTable('provider_attempts')
    .set(columns)
    .where('refund_id', '=', attempt.refund_id)
    .where('number', '=', attempt.number)
    .execute();
}

function landed(
  providerRefundId: string | null,
  source: EvidenceSource,
  providerStatus: string,
  observedAtMs: number,
): AttemptColumns {
  const evidence: Evidence = { source, observedAt: new Date(observedAtMs).toISOString(), providerStatus };
  return {
    provider_refund_id: providerRefundId,
    evidence: JSON.stringify(evidence),
    conclusion: 'landed',
    concluded_at: new Date(observedAtMs),
  };
}

/** An event that leaves the status as it is; the chain's end on the refund moves with it. */
async function appendEvent(
  trx: LedgerTransaction,
  refund: RefundRow,
  event: { type: string; data: Record<string, unknown> },
  nowMs: number,
): Promise<void> {
  const current = await reread(trx, refund);
  const end = await appendRefundEvent(
    trx,
    { id: current.id, paymentId: current.payment_id, end: { sequence: current.event_sequence, hash: current.event_hash } },
    { ...event, origin: 'service', actor: SERVICE_ACTOR, reason: null, requestId: null, occurredAtMs: nowMs },
  );
  await trx
    .updateTable('refunds')
    .set({ event_sequence: end.sequence, event_hash: end.hash })
    .where('id', '=', current.id)
    .execute();
}

async function reread(trx: LedgerTransaction, refund: RefundRow): Promise<RefundRow> {
  return trx.selectFrom('refunds').selectAll().where('id', '=', refund.id).executeTakeFirstOrThrow();
}

/** A provider id that another refund owns can't be this one's: the answer is then not understood. */
async function ownedElsewhere(
  trx: LedgerTransaction,
  refund: RefundRow,
  outcome: SubmitOutcome,
): Promise<SubmitOutcome> {
  if ((outcome.kind !== 'done' && outcome.kind !== 'accepted') || outcome.providerRefundId === null) return outcome;
  const owner = await trx
    .selectFrom('provider_attempts')
    .innerJoin('payments', 'payments.id', 'provider_attempts.payment_id')
    .select('provider_attempts.refund_id')
    .where('payments.provider', '=', refund.provider)
    .where('provider_attempts.provider_refund_id', '=', outcome.providerRefundId)
    .where('provider_attempts.refund_id', '<>', refund.id)
    .executeTakeFirst();
  if (!owner) return outcome;
  return {
    kind: 'unknown',
    error: { code: 'refund_id_not_new', message: `The provider answered with the id of ${owner.refund_id}.` },
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
