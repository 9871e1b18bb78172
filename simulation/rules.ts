/** Every decision that the simulated world takes, in one place: the planted bugs replace one or two of them. */
import { absenceProven } from '../src/domain/absence.js';
import { findRefund } from '../src/domain/matching.js';
import { REPEAT_FOR_MS } from '../src/domain/saga-bounds.js';
import { decide } from '../src/domain/saga.js';
import { hasLane, isUsable, mayClaimAfter } from './ledger/attempts.js';
import type { AttemptRow, Books } from './ledger/books.js';
import { isRejectionFinal } from './ledger/looks.js';
import { isClosed, mayRelease, maySettle } from './ledger/settlement.js';
import { mayLowerExternal, othersOf } from './ledger/standing.js';

export const REAL_RULES = {
  decide,
  findRefund,
  absenceProven,
  mayClaimAfter,
  hasLane,
  isUsable,
  maySendAgain,
  isClosed,
  maySettle,
  mayRelease,
  mayLowerExternal,
  othersOf,
  isRejectionFinal,
};

export type Rules = typeof REAL_RULES;

/** The claim is somebody's already: only under an idempotency key may it be sent again. */
function maySendAgain(
  books: Books,
  attempt: AttemptRow,
  submitBeforeMs: number | null,
  nowMs: number,
  decisionMs: number,
): boolean {
  return (
    books.capabilities.idempotentSubmit &&
    attempt.conclusion === null &&
    attempt.answer?.kind !== 'accepted' &&
    nowMs < attempt.claimedAtMs + REPEAT_FOR_MS &&
    (attempt.resendAfterMs === null || nowMs >= attempt.resendAfterMs) &&
    (submitBeforeMs === null || decisionMs < submitBeforeMs)
  );
}
