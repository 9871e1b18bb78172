import { quietFromMs } from '../../src/domain/absence.js';
import { approvalEndMs } from '../../src/domain/approval.js';
import { isOpen } from '../../src/domain/refund.js';
import { judge, shownByLook, shownByMatch, type ReviewFacts, type Shown } from '../../src/domain/review.js';
import type { Resolved } from '../../src/domain/saga-state.js';
import { contentHashOf } from './admission.js';
import { approvalWait } from './approval-standing.js';
import {
  attemptsOf,
  refundOf,
  transition,
  type AttemptRow,
  type Books,
  type Reading,
  type RefundRow,
} from './books.js';
import { lookWithin, matchOf, type Look } from './looks.js';

/** A person wants a refund in review sent again: the one decision of theirs that this world knows. */
export interface Resend {
  /** One a decision: a repeat is told what it did. */
  readonly id: string;
  readonly refundId: string;
  readonly actor: string;
  /** The refund as the person saw it. */
  readonly refundVersion: number;
}

export interface ResolutionAsk {
  readonly decision: Resend;
  /** What the provider shows, read for this decision; null: it could not be read. */
  readonly reading: Reading | null;
  readonly bounds: Look['bounds'];
  readonly nowMs: number;
}

/** Ends a review as a person decided, unless the ledger or the provider says otherwise. Safe to repeat. */
export function resolveRefund(books: Books, ask: ResolutionAsk): Resolved {
  const { id, refundId } = ask.decision;
  const refund = refundOf(books, refundId);
  const before = books.resolutions.get(id);
  if (before === null) return REFUSED;
  if (before !== undefined) return whatItDid(books, refund, before);
  const lastAttempt = decide(books, refund, ask) ? refund.attempt : null;
  books.resolutions.set(id, lastAttempt);
  return lastAttempt === null ? REFUSED : resendOf(books, refund, lastAttempt);
}

const REFUSED: Resolved = { kind: 'refused' };

function decide(books: Books, refund: RefundRow, ask: ResolutionAsk): boolean {
  const { decision, nowMs } = ask;
  if (refund.status !== 'review' || refund.version !== decision.refundVersion) return false;
  if (refund.requestedBy === decision.actor) return false;
  const shown = lookForPerson(books, ask);
  // What the person could not know yet is theirs to decide about again.
  if (refund.version !== decision.refundVersion) return false;
  const attempts = attemptsOf(books, refund.id);
  if (judge('resend', factsOf(refund, attempts, shown, ask)).kind !== 'allowed') return false;
  for (const attempt of attempts) attempt.conclusion ??= 'absent';
  sendAgain(books, refund, decision.actor, nowMs);
  return true;
}

function whatItDid(books: Books, refund: RefundRow, lastAttempt: number): Resolved {
  if (!isOpen(refund.status)) return { kind: 'closed', status: refund.status };
  return refund.status === 'review' ? REFUSED : resendOf(books, refund, lastAttempt);
}

function resendOf(books: Books, refund: RefundRow, attempt: number): Resolved {
  return refund.status === 'requires_approval'
    ? { kind: 'resend', attempt, approval: approvalWait(books, refund) }
    : { kind: 'resend', attempt };
}

/** Stored as a look is; a resend needs the absence of every attempt, not of the last alone. */
function lookForPerson(
  books: Books,
  { decision: { refundId }, reading, bounds, nowMs }: ResolutionAsk,
): Shown {
  if (!reading) return { kind: 'unread', why: 'no reading', wordSuffices: false };
  const shown = shownByLook(lookWithin(books, { refundId, reading, bounds, nowMs }));
  if (shown.kind !== 'absent') return shown;
  return (
    attemptsOf(books, refundId)
      .filter(({ conclusion }) => conclusion === 'absent' || conclusion === null)
      .map((attempt) => shownByMatch(matchOf(books, attempt, reading)))
      .find(({ kind }) => kind !== 'absent') ?? shown
  );
}

function factsOf(
  { money, submitBeforeMs }: RefundRow,
  attempts: readonly AttemptRow[],
  shown: Shown,
  { bounds: { providerTimeoutMs }, nowMs }: ResolutionAsk,
): ReviewFacts {
  const open = attempts.filter(({ conclusion }) => conclusion === null);
  const landed = attempts.some(({ conclusion }) => conclusion === 'landed');
  const later = (instants: readonly number[]): string | null =>
    Math.max(0, ...instants) > nowMs ? 'later' : null;
  return {
    shown,
    landed,
    settled: money === 'refunded',
    open: open.length > 0,
    otherAmount: !landed && attempts.some(({ conclusion }) => conclusion === 'other_amount'),
    reserved: money === 'reserved',
    fits: money !== 'released',
    windowClosed: submitBeforeMs !== null && nowMs >= submitBeforeMs,
    underWayUntil: later(
      open.map(({ sendByMs }) => quietFromMs({ sendByMs, providerTimeoutMs, quietMs: 0 })),
    ),
    silentUntil: later(attempts.flatMap(({ resendAfterMs }) => resendAfterMs ?? [])),
  };
}

/** What people had to agree on they agree on again. The lane is kept. */
function sendAgain({ approvalPolicy }: Books, refund: RefundRow, actor: string, nowMs: number): void {
  const { id, approval, submitBeforeMs } = refund;
  if (!approval || !approvalPolicy) {
    transition(refund, 'pending');
    return;
  }
  approval.round += 1;
  approval.openedBy = actor;
  approval.contentHash = contentHashOf(id, approval.round);
  approval.requestedAtMs = nowMs;
  approval.expiresAtMs = approvalEndMs(nowMs, approvalPolicy.expiresAfterMs, submitBeforeMs);
  transition(refund, 'requires_approval');
}
