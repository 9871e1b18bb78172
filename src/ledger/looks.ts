/** What a reading shows of an attempt, written before anybody acts on it. */
import { quietFromMs, type AbsenceBounds } from '../domain/absence.js';
import { assertNever } from '../domain/errors.js';
import { findRefund, type Match } from '../domain/matching.js';
import type { ProviderRefund, SubmitOutcome } from '../domain/provider.js';
import type { EvidenceSource } from '../domain/refund.js';
import type { LookResult } from '../domain/saga-state.js';
import {
  attemptUpdate,
  updateAttempt,
  landed,
  otherOwner,
  noticeLateMoney,
  reread,
  showOrAppend,
  appendEvent,
  type Subject,
} from './attempt-writes.js';
import {
  attemptsOf,
  isProvenAbsent,
  lockWithAttempts,
  mayHaveMovedMoney,
  openOrLanded,
  othersOf,
  reopenAttempt,
  type AttemptRow,
  type AttemptSnapshot,
} from './attempts.js';
import type { Database, LedgerTransaction } from './database.js';
import { pauseProvider } from './provider-switches.js';
import { SERVICE_ACTOR, showPending, transition, type Conclusion, type RefundRow } from './refunds.js';
import { addExternal, standingOf, unbookOurs, type FullStanding } from './standing.js';
import { storable } from './storable-text.js';

/** In an answer that shows our refund with another amount than was asked. */
const OTHER_AMOUNT_CODE = 'other_amount';

export interface Look {
  readonly refundId: string;
  readonly reading: AttemptSnapshot;
  readonly source: EvidenceSource;
  readonly onlyOneRefund: boolean;
  readonly bounds: Pick<AbsenceBounds, 'providerTimeoutMs' | 'quietMs'>;
  readonly nowMs: number;
}

/** Null where there is an open attempt to look for; else what the ledger knows without looking. */
export function knownUnseen(refund: RefundRow, conclusions: readonly Conclusion[]): LookResult | null {
  const found = attemptToLookFor(conclusions);
  if (!('known' in found)) return null;
  if (refund.review_ends_by === 'person') return { kind: 'awaitsPerson' };
  return votesAwaited(refund, conclusions) ?? found.known;
}

/** While people are asked, and nothing of it shows, that is the answer. */
function votesAwaited(refund: RefundRow, conclusions: readonly Conclusion[]): LookResult | null {
  if (refund.status !== 'requires_approval' || conclusions.some(mayHaveMovedMoney)) return null;
  return { kind: 'awaitsVotes' };
}

/** An open attempt, else one that landed, else the last one: an older attempt may be open again. */
export function attemptToLookFor<Attempt extends Conclusion>(
  attempts: readonly Attempt[],
): { readonly attempt: Attempt } | { readonly known: LookResult } {
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
    case 'other_amount':
      return { known: { kind: 'otherAmount', why: 'The provider booked another amount.' } };
    case 'absent':
    case null:
      return { attempt };
  }
}

/** Finds the attempt in a reading and stores what that says, evidence included. */
export async function recordLook(db: Database, look: Look): Promise<LookResult> {
  return db.transaction().execute((trx) => recordLookWithin(trx, look));
}

export async function recordLookWithin(trx: LedgerTransaction, look: Look): Promise<LookResult> {
  const { refund, result } = await lookLocked(trx, look);
  // Whatever it shows is kept; what follows from it is not ours to decide.
  if (refund.review_ends_by === 'person' && DECIDING.has(result.kind)) return { kind: 'awaitsPerson' };
  if (refund.status !== 'requires_approval') return asAccepted(result);
  // A look may end a wait for people, and begins none.
  const awaited = votesAwaited(await reread(trx, refund), await attemptsOf(trx, refund.id));
  return awaited ?? asAccepted(result);
}

/** The provider has said that it has it: whoever waits does so for its confirmation, wherever the wait began. */
function asAccepted(result: LookResult): LookResult {
  return result.kind === 'absent' && result.accepted ? { kind: 'processing' } : result;
}

const DECIDING: ReadonlySet<LookResult['kind']> = new Set(['landed', 'rejected', 'notSent', 'otherAmount']);

/** The same inside a step that decides more. */
export async function lookWithin(trx: LedgerTransaction, look: Look): Promise<LookResult> {
  return (await lookLocked(trx, look)).result;
}

/** @returns the refund as it was before. */
async function lookLocked(
  trx: LedgerTransaction,
  asSeen: Look,
): Promise<{ readonly refund: RefundRow; readonly result: LookResult }> {
  const look = { ...asSeen, reading: storable(asSeen.reading) };
  const { payment, refund, attempts } = await lockWithAttempts(trx, look.refundId);
  const wanted = attemptToLookFor(attempts);
  if ('known' in wanted) return { refund, result: wanted.known };
  const { attempt } = wanted;
  const match = matchFor(refund, attempt, look, await standingOf(trx, payment));
  const result = await applyMatch(trx, { payment, refund, attempts, attempt }, match, look);
  // What has landed was noted with its event.
  if (result.kind !== 'landed') await noteLook(trx, refund.id, look.nowMs);
  return { refund, result };
}

/** What a look makes of a reading: whose equal money it is may have been asked of a person, and is no look's to answer. */
export function matchFor(
  refund: RefundRow,
  attempt: AttemptRow,
  look: Pick<Look, 'reading' | 'onlyOneRefund'>,
  standing: FullStanding,
): Match {
  const match = matchOf(attempt, look, standing);
  const isAsked = refund.review_ends_by === 'person' && attempt.conclusion === 'absent';
  return isAsked && match.kind === 'found' && match.matchedBy !== 'id'
    ? {
        kind: 'cannotTell',
        why: 'An equal refund is shown, and only a person can say whether it is this one.',
      }
    : match;
}

/** What a reading says of one attempt, with nothing stored. */
export function matchOf(
  attempt: AttemptRow,
  { reading, onlyOneRefund }: Pick<Look, 'reading' | 'onlyOneRefund'>,
  standing: FullStanding,
): Match {
  return findRefund(
    {
      amountMinor: attempt.amount_minor,
      before: attempt.snapshot,
      providerRefundId: attempt.provider_refund_id,
      accepted: attempt.answer?.kind === 'accepted',
      onlyOneRefund,
    },
    reading,
    othersOf(attempt, standing, reading),
  );
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
      if (match.instead && mustBeOurs(subject.attempt, look)) {
        return applyOtherAmount(trx, subject, match.instead, look);
      }
      return { kind: 'cannotTell', why: match.why };
    case 'otherAmount':
      return applyOtherAmount(trx, subject, match.refund, look);
    default:
      return assertNever(match);
  }
}

export async function applyFound(
  trx: LedgerTransaction,
  subject: Subject,
  shown: ProviderRefund,
  matchedBy: 'id' | 'amount' | 'status',
  look: Look,
): Promise<LookResult> {
  const { refund, attempt } = subject;
  // A rejected entry of our amount may be another's for as long as our own may not be listed yet.
  if (shown.status === 'rejected' && matchedBy !== 'id' && !isQuiet(attempt, look)) {
    return { kind: 'processing' };
  }
  if (shown.status !== 'rejected') await countAsOurs(trx, subject, shown, look);
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
    case 'succeeded': {
      const { providerStatus } = shown;
      const evidence = landed(seen.provider_refund_id, look.source, providerStatus, look.reading.readAtMs);
      const told = await appendEvent(trx, refund, event, look.nowMs, {
        columns: { last_looked_at: new Date(look.nowMs) },
        beside: [attemptUpdate(attempt, { ...seen, ...evidence })],
      });
      await noticeLateMoney(trx, { ...subject, refund: told }, true, look.nowMs);
      return { kind: 'landed' };
    }
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
    case 'processing': {
      await updateAttempt(trx, attempt, seen);
      const show = firstSight ? showOrAppend : showPending;
      const told = await show(trx, refund, 'provider_processing', event, look.nowMs);
      await reopenAtSight(trx, { ...subject, refund: told }, look.nowMs);
      return { kind: 'processing' };
    }
    case 'unclear':
    case 'unknown': {
      await updateAttempt(trx, attempt, seen);
      const told = firstSight ? await appendEvent(trx, refund, event, look.nowMs) : refund;
      await reopenAtSight(trx, { ...subject, refund: told }, look.nowMs);
      return {
        kind: shown.status === 'unclear' ? 'unclear' : 'unknownStatus',
        providerStatus: shown.providerStatus,
      };
    }
    default:
      return assertNever(shown.status);
  }
}

/**
 * What the provider booked is a fact and counts as it is; the refund as it was asked for did not happen. Amounts that are
 * misread once would be misread again: nothing more is sent there before a person has looked.
 */
export async function applyOtherAmount(
  trx: LedgerTransaction,
  { payment, refund, attempt }: Subject,
  shown: ProviderRefund,
  look: Look,
): Promise<LookResult> {
  await countAsOurs(trx, { payment }, shown, look);
  const why = `The provider booked ${shown.amountMinor} under this refund, asked were ${attempt.amount_minor}.`;
  await updateAttempt(trx, attempt, {
    provider_refund_id: shown.providerRefundId ?? attempt.provider_refund_id,
    conclusion: 'other_amount',
    concluded_at: new Date(look.nowMs),
  });
  if (refund.money === 'reserved') {
    await trx
      .updateTable('payments')
      .set((set) => ({ reserved_minor: set('reserved_minor', '-', refund.amount_minor) }))
      .where('id', '=', payment.id)
      .execute();
  }
  await addExternal(trx, { refund, addedMinor: shown.amountMinor, readAtMs: look.reading.readAtMs });
  await transition(
    trx,
    refund,
    { status: 'review', reviewReason: why, endsBy: 'person' },
    { type: 'other_amount_seen', data: { shown, attempt: attempt.number } },
    look.nowMs,
    { money: 'released' },
  );
  await pauseProvider(trx, {
    provider: refund.provider,
    actor: SERVICE_ACTOR,
    reason: `Refund ${refund.id}: ${why}`,
    requestId: null,
    nowMs: look.nowMs,
  });
  return { kind: 'otherAmount', why };
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
  const quietUntil = { quietUntilMs: quietUntilMs(attempt, look) };
  if (accepted) return { kind: 'absent', proven: false, accepted, ...quietUntil };

  const absentReads = [...attempt.absent_reads, { readAtMs: look.reading.readAtMs }];
  const proven = isProvenAbsent({ ...attempt, absent_reads: absentReads }, look.bounds);
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
  return { kind: 'absent', proven, accepted, ...quietUntil };
}

/** The one new entry: the provider's answer showed that amount, or accepted ours, which must be listed by now. */
function mustBeOurs(attempt: AttemptRow, look: Look): boolean {
  const { answer } = attempt;
  if (answer?.kind === 'accepted') return isQuiet(attempt, look);
  return answer !== null && 'error' in answer && answer.error.code === OTHER_AMOUNT_CODE;
}

function isQuiet(attempt: AttemptRow, look: Look): boolean {
  return look.reading.readAtMs >= quietUntilMs(attempt, look);
}

/** While the attempt was written off, what it moved may have been booked as moved without us. */
async function countAsOurs(
  trx: LedgerTransaction,
  { payment }: Pick<Subject, 'payment'>,
  { amountMinor }: ProviderRefund,
  { reading: snapshot, nowMs }: Look,
): Promise<void> {
  if (payment.external_minor < amountMinor) return;
  await unbookOurs(trx, payment, await standingOf(trx, payment), amountMinor, { snapshot, nowMs });
}

/** Until when what the call did may not be listed yet. */
function quietUntilMs(attempt: AttemptRow, { bounds }: Look): number {
  return quietFromMs({ ...bounds, sendByMs: attempt.send_by.getTime() }) + bounds.quietMs;
}

/** What was written off is there after all. */
async function reopenAtSight(trx: LedgerTransaction, subject: Subject, nowMs: number): Promise<void> {
  if (subject.attempt.conclusion !== 'absent') return;
  await reopenAttempt(trx, subject.attempt);
  await noticeLateMoney(trx, subject, false, nowMs);
}
