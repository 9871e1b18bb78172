import { quietFromMs, type AbsenceBounds } from '../../src/domain/absence.js';
import { assertNever } from '../../src/domain/errors.js';
import type { Match } from '../../src/domain/matching.js';
import type { ProviderRefund } from '../../src/domain/provider.js';
import type { LookResult } from '../../src/domain/saga-state.js';
import {
  attemptsOf,
  openOrLanded,
  otherOwner,
  refundOf,
  review,
  type AttemptRow,
  type Books,
  type Reading,
} from './books.js';
import { mayHaveMovedMoney, reopenAttempt } from './attempts.js';
import { noticeLateMoney } from './late-money.js';
import { standingOf } from './standing.js';

const OTHER_AMOUNT = 'The provider booked another amount.';

export interface Look {
  readonly refundId: string;
  readonly reading: Reading;
  readonly bounds: Pick<AbsenceBounds, 'providerTimeoutMs' | 'quietMs'>;
  readonly nowMs: number;
}

/** The attempt to read for, or what is known without reading. */
export function attemptToLookFor(books: Books, refundId: string): Wanted {
  const found = lastWord(books, refundId);
  const awaitsPerson = refundOf(books, refundId).reviewEndsBy === 'person';
  if (!('known' in found)) return found;
  return { known: awaitsPerson ? { kind: 'awaitsPerson' } : (votesAwaited(books, refundId) ?? found.known) };
}

type Wanted = { readonly attempt: AttemptRow } | { readonly known: LookResult };

/** An open attempt, else one that landed, else the last one: an older attempt may be open again. */
function lastWord(books: Books, refundId: string): Wanted {
  const attempts = attemptsOf(books, refundId);
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
      return { known: { kind: 'otherAmount', why: OTHER_AMOUNT } };
    case 'absent':
    case null:
      return { attempt };
  }
}

/** Finds the attempt in a reading and keeps what that says. */
export function recordLook(books: Books, look: Look): LookResult {
  const awaitsPerson = refundOf(books, look.refundId).reviewEndsBy === 'person';
  const result = lookWithin(books, look);
  if (awaitsPerson && DECIDING.has(result.kind)) return { kind: 'awaitsPerson' };
  return votesAwaited(books, look.refundId) ?? asAccepted(result);
}

function asAccepted(result: LookResult): LookResult {
  return result.kind === 'absent' && result.accepted ? { kind: 'processing' } : result;
}

/** While people are asked, and nothing of it shows, that is the answer. */
function votesAwaited(books: Books, refundId: string): LookResult | null {
  const refund = refundOf(books, refundId);
  if (refund.status !== 'requires_approval') return null;
  if (attemptsOf(books, refundId).some(mayHaveMovedMoney)) return null;
  return { kind: 'awaitsVotes' };
}

const DECIDING: ReadonlySet<LookResult['kind']> = new Set(['landed', 'rejected', 'notSent', 'otherAmount']);

/** The same inside a step that decides more. */
export function lookWithin(books: Books, look: Look): LookResult {
  const wanted = lastWord(books, look.refundId);
  return 'known' in wanted ? wanted.known : judge(books, wanted.attempt, look);
}

/** What a reading says of one attempt, with nothing stored. */
export function matchOf(books: Books, attempt: AttemptRow, reading: Reading): Match {
  return books.rules.findRefund(
    {
      amountMinor: attempt.amountMinor,
      before: attempt.snapshot,
      providerRefundId: attempt.providerRefundId,
      accepted: attempt.answer?.kind === 'accepted',
      onlyOneRefund: books.capabilities.partials !== 'many',
    },
    reading,
    books.rules.othersOf(attempt, standingOf(books), reading),
  );
}

function judge(books: Books, attempt: AttemptRow, look: Look): LookResult {
  const match = matchOf(books, attempt, look.reading);
  const isAsked =
    refundOf(books, attempt.refundId).reviewEndsBy === 'person' && attempt.conclusion === 'absent';
  if (isAsked && match.kind === 'found' && match.matchedBy !== 'id') {
    return { kind: 'cannotTell', why: 'only a person can say whose equal refund it is' };
  }
  switch (match.kind) {
    case 'found':
      if (otherOwner(books, attempt, match.refund.providerRefundId) !== null) {
        return { kind: 'cannotTell', why: 'the id that the provider shows has another owner' };
      }
      if (declinedAtOnce(books, attempt)) {
        return { kind: 'cannotTell', why: 'declined, and yet a new refund of its amount' };
      }
      return applyFound(books, attempt, match, look);
    case 'absent':
      return applyAbsent(books, attempt, look);
    case 'incomplete':
      return { kind: 'unavailable', retryAfterMs: null };
    case 'cannotTell':
      if (match.instead && attempt.answer?.kind === 'accepted' && isQuiet(attempt, look)) {
        return applyOtherAmount(books, attempt, match.instead, look);
      }
      return { kind: 'cannotTell', why: match.why };
    case 'otherAmount':
      return applyOtherAmount(books, attempt, match.refund, look);
    default:
      return assertNever(match);
  }
}

function applyFound(
  books: Books,
  attempt: AttemptRow,
  { refund: shown, matchedBy }: Extract<Match, { kind: 'found' }>,
  { reading, bounds, nowMs }: Look,
): LookResult {
  const isFinal =
    shown.status !== 'rejected' || books.rules.isRejectionFinal(attempt, matchedBy, reading.readAtMs, bounds);
  if (!isFinal) return { kind: 'processing' };
  attempt.providerRefundId = shown.providerRefundId ?? attempt.providerRefundId;
  attempt.matchedBy = matchedBy;
  switch (shown.status) {
    case 'succeeded':
      attempt.conclusion = 'landed';
      noticeLateMoney(books, attempt, true, nowMs);
      return { kind: 'landed' };
    case 'rejected':
      attempt.conclusion = 'declined';
      attempt.answer = { kind: 'declined', error: { code: '', message: '' }, mayBeOurs: false };
      return { kind: 'rejected' };
    case 'processing':
      reopenAtSight(books, attempt, nowMs);
      return { kind: 'processing' };
    case 'unclear':
    case 'unknown':
      reopenAtSight(books, attempt, nowMs);
      return {
        kind: shown.status === 'unclear' ? 'unclear' : 'unknownStatus',
        providerStatus: shown.providerStatus,
      };
    default:
      return assertNever(shown.status);
  }
}

/** What the provider booked counts as it is; the refund as it was asked for did not happen. */
function applyOtherAmount(
  { payment, refunds }: Books,
  attempt: AttemptRow,
  shown: ProviderRefund,
  { reading }: Look,
): LookResult {
  attempt.providerRefundId = shown.providerRefundId ?? attempt.providerRefundId;
  attempt.conclusion = 'other_amount';
  payment.externalMinor += shown.amountMinor;
  payment.externalReadAtMs = reading.readAtMs;
  for (const refund of refunds) {
    if (refund.id !== attempt.refundId) continue;
    if (refund.money === 'reserved') payment.reservedMinor -= refund.amountMinor;
    refund.money = 'released';
    review(refund, OTHER_AMOUNT, 'person');
  }
  return { kind: 'otherAmount', why: OTHER_AMOUNT };
}

/** Sent once, by us, and answered with a refusal: no answer of ours was ever lost. */
function declinedAtOnce(books: Books, attempt: AttemptRow): boolean {
  return (
    attempt.answer?.kind === 'declined' &&
    attempt.sends === 1 &&
    attemptsOf(books, attempt.refundId).every(({ conclusion }) => conclusion !== 'absent')
  );
}

function applyAbsent(books: Books, attempt: AttemptRow, look: Look): LookResult {
  const bounds = { ...look.bounds, sendByMs: attempt.sendByMs };
  const accepted = attempt.answer?.kind === 'accepted' || attempt.matchedBy !== null;
  const quietUntilMs = quietFromMs(bounds) + bounds.quietMs;
  if (accepted) return { kind: 'absent', proven: false, accepted, quietUntilMs };

  attempt.absentReads = [...attempt.absentReads, { readAtMs: look.reading.readAtMs }];
  const proven = books.rules.absenceProven(attempt.absentReads, bounds);
  const conclusion = attempt.answer?.kind === 'declined' ? 'declined' : 'absent';
  const concludes = proven && attempt.conclusion !== conclusion;
  if (concludes) attempt.conclusion = conclusion;
  if (concludes && conclusion === 'declined') return { kind: 'rejected' };
  return { kind: 'absent', proven, accepted, quietUntilMs };
}

/** What was written off is there after all. */
function reopenAtSight(books: Books, attempt: AttemptRow, nowMs: number): void {
  if (attempt.conclusion !== 'absent') return;
  reopenAttempt(attempt);
  noticeLateMoney(books, attempt, false, nowMs);
}

/** A rejected entry of our amount may be another's for as long as our own may not be listed yet. */
export function isRejectionFinal(
  attempt: AttemptRow,
  matchedBy: 'id' | 'amount' | 'status',
  readAtMs: number,
  bounds: Look['bounds'],
): boolean {
  const quietUntilMs = quietFromMs({ ...bounds, sendByMs: attempt.sendByMs }) + bounds.quietMs;
  return matchedBy === 'id' || readAtMs >= quietUntilMs;
}

/** What the call did must be listed from then on. */
function isQuiet(attempt: AttemptRow, { reading, bounds }: Look): boolean {
  return reading.readAtMs >= quietFromMs({ ...bounds, sendByMs: attempt.sendByMs }) + bounds.quietMs;
}
