/** Every decision that the simulated world takes, in one place: the planted bugs replace one or two of them. */
import { absenceProven } from '../src/domain/absence.js';
import { findRefund } from '../src/domain/matching.js';
import { REPEAT_FOR_MS } from '../src/domain/saga-bounds.js';
import { decide } from '../src/domain/saga.js';
import { judgeVote, missingApprovals } from '../src/domain/vote.js';
import { isApprovalOver } from './ledger/approvals.js';
import { hasLane, isUsable, mayClaim, mayClaimAfter } from './ledger/attempts.js';
import type { AttemptRow, Books } from './ledger/books.js';
import { isRejectionFinal } from './ledger/looks.js';
import { giveBack, isClosed, isProcessToFail, mayEnd, mayRelease, maySettle } from './ledger/settlement.js';
import { mayLowerExternal, othersOf } from './ledger/standing.js';
import { isNews } from './news.js';

export const REAL_RULES = {
  decide,
  findRefund,
  absenceProven,
  mayClaim,
  mayClaimAfter,
  hasLane,
  isUsable,
  maySendAgain,
  isClosed,
  maySettle,
  mayRelease,
  isProcessToFail,
  mayLowerExternal,
  othersOf,
  isRejectionFinal,
  judgeVote,
  missingApprovals,
  isApprovalOver,
  mayEnd,
  mayCancel: mayEnd,
  giveBack,
  isNews,
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
