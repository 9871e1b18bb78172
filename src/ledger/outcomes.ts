/** What came of an attempt: the provider's answer, or what a later reading shows. Written before anybody acts on it. */
import { sql } from 'kysely';
import { findRefund, type Match } from '../domain/matching.js';
import type { ProviderError, ProviderRefund, SubmitOutcome } from '../domain/provider.js';
import type { Evidence, EvidenceSource, PendingReason } from '../domain/refund.js';
import type { LookResult, SubmitResult } from '../domain/saga-state.js';
import { quietFromMs, type AbsenceBounds } from '../domain/absence.js';
import { assertNever } from '../domain/errors.js';
import {
  attemptsOf,
  isProvenAbsent,
  othersOf,
  reopenAttempt,
  type AttemptRow,
  type AttemptSnapshot,
} from './attempts.js';
import type { Database, LedgerTransaction } from './database.js';
import { appendRefundEvent } from './event-chain.js';
import { releaseLane } from './lanes.js';
import { faceLateMoney } from './late-money.js';
import { lockRefund, showPending, SERVICE_ACTOR, type PaymentRow, type RefundRow } from './refunds.js';
import { standingOf } from './standing.js';
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
  answered: { refundId: string; number: number; outcome: SubmitOutcome; nowMs: number },
): Promise<Recorded<SubmitResult>> {
  return db.transaction().execute(async (trx) => {
    const { payment, refund } = await lockRefund(trx, answered.refundId);
    const attempts = await attemptsOf(trx, answered.refundId);
    const attempt = attemptNumbered(attempts, answered.number);
    const outcome = await understood(trx, refund, attempt, storable(answered.outcome));
    if (outranked(attempt, outcome)) return keepOutranked(trx, refund, attempt, outcome, answered.nowMs);
    return applyAnswer(trx, { payment, refund, attempts, attempt }, outcome, answered.nowMs);
  });
}

/** One attempt with all that it is judged by, read under the payment's lock. */
interface Subject {
  readonly payment: PaymentRow;
  readonly refund: RefundRow;
  readonly attempts: readonly AttemptRow[];
  readonly attempt: AttemptRow;
}

async function applyAnswer(
  trx: LedgerTransaction,
  subject: Subject,
  outcome: SubmitOutcome,
  nowMs: number,
): Promise<Recorded<SubmitResult>> {
  const { refund, attempts, attempt } = subject;
  const number = attempt.number;
  const unclearBefore = attempt.sends > 1 || attempts.some((other) => other.conclusion === 'absent');
  const event = { type: 'attempt_answered', data: { attempt: number, answer: outcome } };
  const note = (columns: AttemptColumns): Promise<void> =>
    updateAttempt(trx, attempt, { answer: JSON.stringify(outcome), ...columns });

  switch (outcome.kind) {
    case 'done':
      await note({
        ...landed(
          outcome.providerRefundId ?? attempt.provider_refund_id,
          'response',
          outcome.providerStatus,
          nowMs,
        ),
        matched_by: outcome.providerRefundId === null ? null : 'id',
      });
      await appendEvent(trx, refund, event, nowMs);
      await noticeLateMoney(trx, subject, true, nowMs);
      return kept({ kind: 'done', attempt: number });
    case 'accepted':
      await note({
        provider_refund_id: outcome.providerRefundId ?? attempt.provider_refund_id,
        conclusion: null,
        concluded_at: null,
      });
      await showOrAppend(trx, refund, 'provider_processing', event, nowMs);
      await noticeLateMoney(trx, subject, false, nowMs);
      return kept({ kind: 'accepted', attempt: number });
    case 'declined': {
      // The words may mean that the refund landed: by an earlier sending, or by a proxy that repeated this one.
      const resolveFirst = unclearBefore || outcome.mayBeOurs;
      await note(resolveFirst ? {} : { conclusion: 'declined', concluded_at: new Date(nowMs) });
      await appendEvent(trx, refund, event, nowMs);
      return kept({ kind: 'declined', attempt: number, resolveFirst });
    }
    case 'notNow': {
      // A repeat that never left says nothing of the sending before it.
      if (attempt.sends > 1) return unclear(trx, refund, attempt, event, null, note, nowMs);
      await note({ conclusion: 'not_sent', concluded_at: new Date(nowMs) });
      if (openOrLanded(attempts.filter((other) => other.number !== number))) {
        await appendEvent(trx, refund, event, nowMs);
        return kept(notNowResult({ ...outcome, attempt: number }));
      }
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

/**
 * True where the ledger holds a stronger word already: the attempt landed, the provider accepted it, or shows it as
 * not carried out. A slower or repeated call takes nothing from that, unless it says that the money went back.
 */
function outranked(attempt: AttemptRow, outcome: SubmitOutcome): boolean {
  if (attempt.conclusion === 'landed') return true;
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
    const { refund } = await lockRefund(trx, seen.refundId);
    const live = openOrLanded(await attemptsOf(trx, seen.refundId));
    if (live) return kept(standingResult(live));
    const event = { type: 'submit_postponed', data: { reason: seen.reason, error: storable(seen.error) } };
    return notNow(trx, refund, { ...seen, attempt: refund.attempt }, event, seen.nowMs);
  });
}

interface Postponed {
  readonly attempt: number;
  readonly reason: Extract<SubmitOutcome, { kind: 'notNow' }>['reason'];
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
  await showPending(trx, refund, result.reason, event, nowMs);
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
  refund: RefundRow,
  attempt: AttemptRow,
  event: { type: string; data: Record<string, unknown> },
  resendAfterMs: number | null,
  note: (columns: AttemptColumns) => Promise<void>,
  nowMs: number,
): Promise<Recorded<SubmitResult>> {
  await note({ resend_after: resendAfterMs === null ? attempt.resend_after : new Date(resendAfterMs) });
  // What was proven absent stays so: this answer only says that the call ended without one.
  if (attempt.conclusion === null) await showOrAppend(trx, refund, 'outcome_unknown', event, nowMs);
  else await appendEvent(trx, refund, event, nowMs);
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
      if (attempt.answer?.kind === 'declined') {
        return { kind: 'declined', attempt: number, resolveFirst: true };
      }
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
  const found = attemptToLookFor(await attemptsOf(db, refundId));
  return 'known' in found ? found.known : null;
}

/** An open attempt, else one that landed, else the last one: an older attempt may be open again. */
function attemptToLookFor(
  attempts: readonly AttemptRow[],
): { readonly attempt: AttemptRow } | { readonly known: LookResult } {
  const last = attempts.at(-1);
  const attempt = openOrLanded(attempts) ?? last;
  switch (attempt?.conclusion) {
    case undefined:
    case 'not_sent':
      return { known: { kind: 'notSent', attempt: last?.number ?? 0 } };
    case 'landed':
      return { known: { kind: 'landed' } };
    case 'declined':
      return { known: { kind: 'rejected' } };
    case 'absent':
    case null:
      return { attempt };
  }
}

function openOrLanded(attempts: readonly AttemptRow[]): AttemptRow | undefined {
  return (
    attempts.findLast((attempt) => attempt.conclusion === null) ??
    attempts.findLast((attempt) => attempt.conclusion === 'landed')
  );
}

/** Finds the attempt in a reading and stores what that says, evidence included. */
export async function recordLook(db: Database, asSeen: Look): Promise<LookResult> {
  const look = { ...asSeen, reading: storable(asSeen.reading) };
  return db.transaction().execute(async (trx) => {
    const { payment, refund } = await lockRefund(trx, look.refundId);
    const attempts = await attemptsOf(trx, look.refundId);
    const wanted = attemptToLookFor(attempts);
    if ('known' in wanted) return wanted.known;
    const { attempt } = wanted;

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
    return applyMatch(trx, { payment, refund, attempts, attempt }, match, look);
  });
}

/** A look that brought nothing still counts as one, for whoever asked for a refresh. */
export async function noteLook(
  db: Database | LedgerTransaction,
  refundId: string,
  nowMs: number,
): Promise<void> {
  await db
    .updateTable('refunds')
    .set({ last_looked_at: new Date(nowMs) })
    .where('id', '=', refundId)
    .execute();
}

async function applyMatch(
  trx: LedgerTransaction,
  subject: Subject,
  match: Match,
  look: Look,
): Promise<LookResult> {
  const { refund, attempt } = subject;
  switch (match.kind) {
    case 'found': {
      const owner = await otherOwner(trx, refund, attempt, match.refund.providerRefundId);
      if (owner !== null) {
        return { kind: 'cannotTell', why: `The id that the provider shows is that of ${owner}.` };
      }
      if (declinedAtOnce(subject)) {
        return {
          kind: 'cannotTell',
          why: 'The provider declined our call, and yet shows a new refund of its amount.',
        };
      }
      return applyFound(trx, subject, match.refund, match.matchedBy, look);
    }
    case 'absent':
      return applyAbsent(trx, subject, look);
    case 'incomplete':
      return { kind: 'unavailable', retryAfterMs: null };
    case 'cannotTell':
      return { kind: 'cannotTell', why: match.why };
    case 'otherAmount': {
      const why = `The provider booked ${match.refund.amountMinor} under this refund, asked were ${attempt.amount_minor}.`;
      await appendEvent(
        trx,
        refund,
        { type: 'other_amount_seen', data: { shown: match.refund, attempt: attempt.number } },
        look.nowMs,
      );
      await reopenAtSight(trx, subject, look.nowMs);
      return { kind: 'otherAmount', why };
    }
    default:
      return assertNever(match);
  }
}

async function applyFound(
  trx: LedgerTransaction,
  subject: Subject,
  shown: ProviderRefund,
  matchedBy: 'id' | 'amount' | 'status',
  look: Look,
): Promise<LookResult> {
  const { refund, attempt } = subject;
  const event = {
    type: 'attempt_found',
    data: { attempt: attempt.number, shown, matched_by: matchedBy, source: look.source },
  };
  const firstSight = attempt.matched_by === null;
  const seen = {
    provider_refund_id: shown.providerRefundId ?? attempt.provider_refund_id,
    matched_by: matchedBy,
  };
  switch (shown.status) {
    case 'succeeded':
      await updateAttempt(trx, attempt, {
        ...seen,
        ...landed(seen.provider_refund_id, look.source, shown.providerStatus, look.reading.readAtMs),
      });
      await appendEvent(trx, refund, event, look.nowMs);
      await noticeLateMoney(trx, subject, true, look.nowMs);
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
      if (firstSight) await showOrAppend(trx, refund, 'provider_processing', event, look.nowMs);
      else await showPending(trx, refund, 'provider_processing', event, look.nowMs);
      await reopenAtSight(trx, subject, look.nowMs);
      return { kind: 'processing' };
    case 'unclear':
    case 'unknown':
      await updateAttempt(trx, attempt, seen);
      if (firstSight) await appendEvent(trx, refund, event, look.nowMs);
      await reopenAtSight(trx, subject, look.nowMs);
      return {
        kind: shown.status === 'unclear' ? 'unclear' : 'unknownStatus',
        providerStatus: shown.providerStatus,
      };
    default:
      return assertNever(shown.status);
  }
}

/** Sent once, by us, and answered with a refusal: no answer of ours was ever lost. */
function declinedAtOnce({ attempt, attempts }: Subject): boolean {
  return (
    attempt.answer?.kind === 'declined' &&
    attempt.sends === 1 &&
    attempts.every((other) => other.conclusion !== 'absent')
  );
}

async function applyAbsent(trx: LedgerTransaction, subject: Subject, look: Look): Promise<LookResult> {
  const { refund, attempt } = subject;
  // What was seen once and is gone again was not lost on the way: as little to be resent as what was accepted.
  const accepted = attempt.answer?.kind === 'accepted' || attempt.matched_by !== null;
  const quietUntilMs =
    quietFromMs({ ...look.bounds, sendByMs: attempt.send_by.getTime() }) + look.bounds.quietMs;
  if (accepted) return { kind: 'absent', proven: false, accepted, quietUntilMs };

  const absentReads = [...attempt.absent_reads, { readAtMs: look.reading.readAtMs }];
  const proven =
    declinedAtOnce(subject) || isProvenAbsent({ ...attempt, absent_reads: absentReads }, look.bounds);
  // After a declined repeat the provider's own word ends it; absence only shows that no earlier sending landed.
  const conclusion = attempt.answer?.kind === 'declined' ? 'declined' : 'absent';
  const concludes = proven && attempt.conclusion !== conclusion;
  await updateAttempt(trx, attempt, {
    absent_reads: JSON.stringify(absentReads),
    ...(concludes ? { conclusion, concluded_at: new Date(look.nowMs) } : {}),
  });
  if (concludes) {
    const data = { attempt: attempt.number, reads: absentReads.length, conclusion };
    await appendEvent(trx, refund, { type: 'attempt_absent', data }, look.nowMs);
  }
  if (concludes && conclusion === 'declined') return { kind: 'rejected' };
  return { kind: 'absent', proven, accepted, quietUntilMs };
}

/** What was written off is there after all. */
async function reopenAtSight(trx: LedgerTransaction, subject: Subject, nowMs: number): Promise<void> {
  if (subject.attempt.conclusion !== 'absent') return;
  await reopenAttempt(trx, subject.attempt);
  await noticeLateMoney(trx, subject, false, nowMs);
}

async function noticeLateMoney(
  trx: LedgerTransaction,
  { payment, refund, attempts, attempt }: Subject,
  hasLanded: boolean,
  nowMs: number,
): Promise<void> {
  const others = attempts.filter((other) => other.number !== attempt.number);
  const late = { number: attempt.number, landed: hasLanded, others };
  await faceLateMoney(trx, { payment, refund: await reread(trx, refund) }, late, nowMs);
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

/** A transition where the pending reason changes by it, else an event alone: no answer goes unwritten. */
async function showOrAppend(
  trx: LedgerTransaction,
  refund: RefundRow,
  reason: PendingReason,
  event: { type: string; data: Record<string, unknown> },
  nowMs: number,
): Promise<void> {
  if (refund.status === 'pending' && refund.pending_reason !== reason) {
    await showPending(trx, refund, reason, event, nowMs);
  } else {
    await appendEvent(trx, refund, event, nowMs);
  }
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
    {
      id: current.id,
      paymentId: current.payment_id,
      end: { sequence: current.event_sequence, hash: current.event_hash },
    },
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

/** The refund that has the provider's id already, by another attempt than this one. */
async function otherOwner(
  trx: LedgerTransaction,
  refund: RefundRow,
  attempt: AttemptRow,
  providerRefundId: string | null,
): Promise<string | null> {
  if (providerRefundId === null) return null;
  // Refunds of two payments share no lock, and one id may come back for both at once.
  const id = `${refund.provider} ${providerRefundId}`;
  await sql`SELECT pg_advisory_xact_lock(hashtextextended(${id}, 0))`.execute(trx);
  const owner = await trx
    .selectFrom('provider_attempts')
    .innerJoin('payments', 'payments.id', 'provider_attempts.payment_id')
    .select('provider_attempts.refund_id')
    .where('payments.provider', '=', refund.provider)
    .where('provider_attempts.provider_refund_id', '=', providerRefundId)
    .where((where) =>
      where.or([
        where('provider_attempts.refund_id', '<>', refund.id),
        where('provider_attempts.number', '<>', attempt.number),
      ]),
    )
    .executeTakeFirst();
  return owner?.refund_id ?? null;
}

function attemptNumbered(attempts: readonly AttemptRow[], number: number): AttemptRow {
  const attempt = attempts.find((candidate) => candidate.number === number);
  if (!attempt) throw new Error(`attempt ${number} was never claimed`);
  return attempt;
}

function kept(result: SubmitResult): Recorded<SubmitResult> {
  return { result, wakeRefundId: null };
}
