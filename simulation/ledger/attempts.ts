import { sumMinor } from '../../src/domain/money.js';
import { decideEligibility, UNLIMITED } from '../../src/domain/eligibility.js';
import { explainReading } from '../../src/domain/matching.js';
import type { FailureReason } from '../../src/domain/refund.js';
import {
  attemptsOf,
  keyOf,
  refundOf,
  transition,
  type AttemptRow,
  type Books,
  type Reading,
  type RefundRow,
} from './books.js';
import { bookExternal, showsLess, standingOf, type Standing } from './standing.js';

export interface Claim {
  readonly refundId: string;
  readonly number: number;
  readonly reading: Reading;
  readonly sendByMs: number;
  readonly nowMs: number;
  /** The later of the workflow's clock and the worker's. */
  readonly decisionMs: number;
}

export type ClaimOutcome =
  | { readonly kind: 'claimed' | 'exists'; readonly attempt: AttemptRow }
  | { readonly kind: 'earlierOpen' | 'unusableReading' | 'laneLost' | 'refundClosed' }
  | { readonly kind: 'ineligible'; readonly code: FailureReason };

/** Claims one attempt before its call, with the reading that it will be recognised by. */
export function claimAttempt(books: Books, claim: Claim): ClaimOutcome {
  const { rules } = books;
  const refund = refundOf(books, claim.refundId);
  const attempts = attemptsOf(books, claim.refundId);
  const existing = attempts.find(({ number }) => number === claim.number);
  if (existing) return { kind: 'exists', attempt: existing };
  if (!rules.mayClaim(refund)) return { kind: 'refundClosed' };
  if (claim.number !== refund.attempt + 1) return { kind: 'earlierOpen' };

  const standing = standingOf(books);
  if (!rules.mayClaimAfter(attempts)) return { kind: 'earlierOpen' };
  if (!books.capabilities.idempotentSubmit && !rules.hasLane(books, claim.refundId, standing)) {
    return { kind: 'laneLost' };
  }
  const earlier = reopenEarlier(books, attempts, claim.reading, standing);
  if (earlier === 'open') return { kind: 'earlierOpen' };
  if (earlier === 'stale') return { kind: 'unusableReading' };
  if (!rules.isUsable(books, standing, claim.reading)) return { kind: 'unusableReading' };
  bookExternal(books, standing, claim.reading);
  const code = brokenRule(books, claim, refund, standing);
  if (code) return { kind: 'ineligible', code };
  return { kind: 'claimed', attempt: insertClaim(books, claim, refund, standing) };
}

/** Notes one more sending of a claimed attempt under its own key; false: it is no longer the workflow's to send. */
export function noteRepeat(
  books: Books,
  repeat: { refundId: string; number: number; sendByMs: number },
): boolean {
  const refund = refundOf(books, repeat.refundId);
  const attempt = attemptsOf(books, repeat.refundId).find(({ number }) => number === repeat.number);
  if (refund.status !== 'pending' || refund.attempt !== repeat.number) return false;
  if (attempt?.conclusion !== null) return false;
  attempt.sends += 1;
  attempt.sendByMs = repeat.sendByMs;
  return true;
}

/** Neither what waits for votes nor what has ended. */
export function mayClaim({ status }: RefundRow): boolean {
  return status === 'pending';
}

export function mayClaimAfter(attempts: readonly AttemptRow[]): boolean {
  return attempts.every(({ conclusion }) => conclusion !== null && conclusion !== 'landed');
}

export function hasLane(books: Books, refundId: string, standing: Standing): boolean {
  return standing.open.length === 0 && books.laneHolder === refundId;
}

/** False where the reading lacks what is known, was cut, or speaks of a status that no document lists. */
export function isUsable(books: Books, standing: Standing, reading: Reading): boolean {
  if (!reading.complete || reading.status === 'unknown') return false;
  const listsNothing = reading.refunds.length === 0 && reading.totalOnlyMinor === undefined;
  if (listsNothing && reading.status === 'refunded') return true;
  return (
    explainReading(reading, standing.landed).missing.length === 0 && !showsLess(books, standing, reading)
  );
}

/** What was proven absent and is there after all is open again. */
function reopenEarlier(
  books: Books,
  attempts: readonly AttemptRow[],
  reading: Reading,
  standing: Standing,
): 'open' | 'stale' | 'none' {
  for (const attempt of attempts.toReversed()) {
    if (attempt.conclusion !== 'absent') continue;
    const match = books.rules.findRefund(
      {
        amountMinor: attempt.amountMinor,
        before: attempt.snapshot,
        providerRefundId: attempt.providerRefundId,
        accepted: false,
        onlyOneRefund: books.capabilities.partials !== 'many',
      },
      reading,
      books.rules.othersOf(attempt, standing, reading),
    );
    if (match.kind === 'absent') continue;
    if (match.kind === 'incomplete') return 'stale';
    reopenAttempt(attempt);
    return 'open';
  }
  return 'none';
}

/** Whether an attempt is open, or has landed, so that ending the refund would not be the truth. */
export function mayHaveMovedMoney({ conclusion }: Pick<AttemptRow, 'conclusion'>): boolean {
  return conclusion === null || conclusion === 'landed' || conclusion === 'other_amount';
}

export function reopenAttempt(attempt: AttemptRow): void {
  attempt.conclusion = null;
  attempt.absentReads = [];
}

function brokenRule(books: Books, claim: Claim, refund: RefundRow, standing: Standing): FailureReason | null {
  const { capabilities, payment } = books;
  const unsettled = [...standing.open, ...standing.landed.filter(({ settled }) => !settled)];
  const { submitBeforeMs } = refund;
  const decision = decideEligibility(
    { amountMinor: refund.amountMinor, currency: null, expectedRefundableMinor: null },
    {
      capabilities,
      providerEnabled: true,
      payment: { ...FACTS, ...payment, reservedMinor: sumMinor(unsettled) },
      snapshot: claim.reading,
      unknownAtProvider: false,
      window: submitBeforeMs === null ? null : { deadlineMs: submitBeforeMs, submitBeforeMs },
      liveRefunds: standing.liveRefunds - 1,
      limits: UNLIMITED,
      nowMs: claim.decisionMs,
    },
  );
  return (decision.broken[0]?.code ?? null) as FailureReason | null;
}

/** The facts of the payment that no rule of this world asks for. */
export const FACTS = {
  id: 'pay_1',
  provider: 'acme',
  providerPaymentId: 'acme_1',
  providerPaymentReference: null,
  currency: 'BRL',
  method: 'pix',
  paidAtMs: 0,
  reference: null,
  metadata: {},
  createdAtMs: 0,
} as const;

function insertClaim(books: Books, claim: Claim, refund: RefundRow, standing: Standing): AttemptRow {
  const attempt: AttemptRow = {
    refundId: refund.id,
    number: claim.number,
    amountMinor: refund.amountMinor,
    claimedAtMs: claim.nowMs,
    snapshot: claim.reading,
    knownAtClaim: {
      landed: [...standing.landed, ...standing.landedLate].map(keyOf),
      open: standing.open.map(keyOf),
    },
    sendByMs: claim.sendByMs,
    sends: 1,
    answer: null,
    resendAfterMs: null,
    providerRefundId: null,
    matchedBy: null,
    absentReads: [],
    conclusion: null,
  };
  books.attempts.push(attempt);
  books.attempts.sort(
    (one, other) =>
      (one.refundId < other.refundId ? -1 : one.refundId > other.refundId ? 1 : 0) ||
      one.number - other.number,
  );
  transition(refund, 'pending');
  refund.attempt = claim.number;
  return attempt;
}
