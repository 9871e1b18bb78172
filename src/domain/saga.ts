/**
 * The refund's process as a pure state machine: `decide(state, observation, nowMs)` gives the next state and the
 * one step to carry out. Every choice is made here; the workflow performs steps and reports what it saw.
 * The ledger checks again whatever moves money: a step is a proposal, never an order to believe.
 */
import { assertNever } from './errors.js';
import { awaitApproval, awaitToldApproval, dueWarning, goOnWaiting, told } from './saga-approval.js';
import { growing, mayRepeat, termsOf, waitBounds, windowClosed } from './saga-bounds.js';
import { pauseBeforeLook, pauseInReview } from './saga-pauses.js';
import type { FailureReason, RefundStatus } from './refund.js';
import type {
  ApprovalStanding,
  Stage,
  WaitReason,
  SagaState,
  SubmitResult,
  LookResult,
  Observation,
  Decision,
  Resolved,
} from './saga-state.js';

const RETRY_FIRST_MS = 1_000;
/** Whoever waits for a lane shows itself this often: the ledger passes over waiters that fell silent. */
const QUEUED_PAUSE_MS_MAX = 60_000;
const AUTOMATIC_RESENDS = 1;
/** What an earlier sending may turn out to be while a new one waits for votes. */
const ENDS_APPROVAL: ReadonlySet<LookResult['kind']> = new Set(['landed', 'otherAmount', 'awaitsPerson']);

export function begin(nowMs: number): SagaState {
  return {
    stage: 'admitting',
    terms: null,
    attempt: 0,
    firstSentAtMs: null,
    declined: false,
    resends: 0,
    wait: null,
    waits: {},
    stageSinceMs: nowMs,
    round: 0,
    resendAfterMs: null,
    refusals: 0,
  };
}

/** The whole saga: what to do next, given what was seen. Pure and total. */
export function decide(state: SagaState, seen: Observation, nowMs: number): Decision {
  switch (seen.kind) {
    case 'started':
      return { state, step: { kind: 'admit' } };
    case 'notAdmitted':
      return ended(state, 'refused');
    case 'admitted':
      return seen.approval
        ? awaitApproval({ ...state, terms: seen.terms }, seen.approval, nowMs)
        : (seen.holdsLane ? submit : goAhead)({ ...state, terms: seen.terms }, nowMs);
    case 'approval':
      return afterApproval(state, seen.standing, nowMs);
    case 'approvalSeen':
      return afterAsking(state, seen.standing, nowMs);
    case 'reminded':
      if (seen.standing) return afterApproval(state, seen.standing, nowMs);
      return state.stage === 'approving' ? goOnWaiting(state, nowMs) : afterUnsentWait(state, nowMs);
    case 'hinted':
      return look(state);
    case 'resumed':
      return resume(state, seen, nowMs);
    case 'laneTaken':
      return submit(state, nowMs);
    case 'laneBusy':
      return waitUnsent(state, 'queued', null, nowMs);
    case 'submitted':
      return afterSubmit(state, seen.result, nowMs);
    case 'callLost':
      return afterCallLost(state, nowMs);
    case 'looked':
      return afterLook(state, seen.result, nowMs);
    case 'paused':
      return afterPause(state, nowMs);
    case 'reviewed':
      return pauseBeforeLook({ ...enter(state, 'review', nowMs), round: state.refusals }, nowMs, null);
    case 'resolutionAsked':
      return { state, step: { kind: 'resolve' } };
    case 'resolved':
      return afterResolution(state, seen.result, nowMs);
    case 'closed':
      return ended(state, seen.status);
    case 'closingRefused':
      return afterRefusal(state, nowMs);
    default:
      return assertNever(seen);
  }
}

/** Never towards a fresh submit: the same key again, or a look, which also tells where nothing was ever sent. */
function resume(before: SagaState, seen: Extract<Observation, { kind: 'resumed' }>, nowMs: number): Decision {
  const { terms, attempt, firstSentAtMs, resends } = seen;
  const state: SagaState = { ...before, terms, attempt, firstSentAtMs, resends };
  if (seen.approval) return awaitApproval(state, seen.approval, nowMs);
  if (seen.inReview) return look(enter(state, 'review', nowMs));
  const resolving = enter(state, 'resolving', nowMs);
  return mayRepeat(resolving, nowMs) ? repeat(resolving) : look(resolving);
}

/** Of the votes themselves the ledger judges; what it says of a wait that is over is no news. */
function afterApproval(state: SagaState, standing: ApprovalStanding, nowMs: number): Decision {
  if (standing.state === 'closed') return ended(state, standing.status);
  if (state.stage !== 'approving') return afterPause(state, nowMs);
  switch (standing.state) {
    case 'waiting':
      return awaitApproval(state, standing, nowMs);
    case 'approved':
      return goAhead(enter(state, 'waiting', nowMs), nowMs);
    case 'review':
      return look(enter(state, 'review', nowMs));
    default:
      return assertNever(standing);
  }
}

/** A remote step had said that people are asked, or were. Where the ledger knows nothing of that, what was sent is looked for. */
function afterAsking(state: SagaState, standing: ApprovalStanding, nowMs: number): Decision {
  const { stage } = state;
  switch (standing.state) {
    case 'closed':
      return ended(state, standing.status);
    case 'waiting':
      return awaitApproval(state, standing, nowMs);
    case 'review':
      return stage === 'review' ? pauseInReview(state) : look(enter(state, 'review', nowMs));
    case 'approved':
      return stage === 'approving' || stage === 'review'
        ? goAhead(enter(state, 'waiting', nowMs), nowMs)
        : pauseBeforeLook(stage === 'confirming' ? state : enter(state, 'resolving', nowMs), nowMs, null);
    default:
      return assertNever(standing);
  }
}

/** Towards a new attempt: the lane first, where there is one. */
function goAhead(state: SagaState, nowMs: number): Decision {
  if (windowClosed(state, nowMs)) return compensate(state, 'refund_window_expired');
  if (termsOf(state).needsLane) return { state: { ...state, stage: 'waiting' }, step: { kind: 'takeLane' } };
  return submit(state, nowMs);
}

function submit(state: SagaState, nowMs: number): Decision {
  if (windowClosed(state, nowMs)) return compensate(state, 'refund_window_expired');
  const attempt = state.attempt + 1;
  return {
    state: {
      ...state,
      stage: 'submitting',
      attempt,
      firstSentAtMs: null,
      declined: false,
      resendAfterMs: null,
    },
    step: { kind: 'submit', attempt },
  };
}

function afterCallLost(before: SagaState, nowMs: number): Decision {
  const state = enter({ ...before, firstSentAtMs: before.firstSentAtMs ?? nowMs }, 'resolving', nowMs);
  return mayRepeat(state, nowMs) ? pauseBeforeLook(state, nowMs, null) : look(state);
}

function afterSubmit(before: SagaState, result: SubmitResult, nowMs: number): Decision {
  const state: SagaState = { ...before, attempt: result.attempt };
  switch (result.kind) {
    case 'done':
      return settle(state);
    case 'accepted':
      return pauseBeforeLook(enter(state, 'confirming', nowMs), nowMs, null);
    case 'declined':
      if (result.resolveFirst) return look({ ...enter(state, 'resolving', nowMs), declined: true });
      return compensate(state, 'provider_declined');
    case 'ineligible':
      return compensate(state, result.code);
    case 'notPending':
      return seeApproval(state);
    case 'notNow':
      // A repeat that never left says nothing of the sending before it: the ledger knows whether there was one.
      if (state.stage === 'resolving') return look(state);
      return waitUnsent(state, result.reason, result.retryAfterMs, nowMs);
    case 'unknown': {
      const unclear = {
        ...enter(state, 'resolving', nowMs),
        firstSentAtMs: result.firstSentAtMs,
        resendAfterMs: result.resendAfterMs,
      };
      const repeatInMs = result.resendAfterMs === null ? null : result.resendAfterMs - nowMs;
      return mayRepeat(unclear, nowMs) ? pauseBeforeLook(unclear, nowMs, repeatInMs) : look(unclear);
    }
    default:
      return assertNever(result);
  }
}

function afterLook(state: SagaState, result: LookResult, nowMs: number): Decision {
  // People go on deciding, whatever is shown but the refund itself.
  if (state.stage === 'approving' && !ENDS_APPROVAL.has(result.kind)) return goOnWaiting(state, nowMs);
  switch (result.kind) {
    case 'landed':
      return settle(state);
    case 'rejected':
      return compensate(state, 'provider_declined');
    case 'processing':
      return pauseBeforeLook(
        state.stage === 'review' ? state : enter(state, 'confirming', nowMs),
        nowMs,
        null,
      );
    case 'unclear':
      return pauseBeforeLook(state, nowMs, null);
    case 'unknownStatus':
      return review(
        state,
        `The provider shows the status ${result.providerStatus}, which no document lists.`,
      );
    case 'cannotTell':
      // The key knows which of them is ours.
      return mayRepeat(state, nowMs) ? pauseBeforeLook(state, nowMs, null) : review(state, result.why);
    case 'otherAmount':
      return review(state, result.why);
    case 'unavailable':
      return pauseBeforeLook(state, nowMs, result.retryAfterMs);
    case 'notSent':
      if (state.stage === 'review') return pauseInReview(state);
      return goAhead({ ...enter(state, 'waiting', nowMs), attempt: result.attempt }, nowMs);
    case 'awaitsVotes':
      return seeApproval(state);
    case 'awaitsPerson':
      return pauseInReview(enter(state, 'review', nowMs));
    case 'absent':
      return afterAbsent(state, result, nowMs);
    default:
      return assertNever(result);
  }
}

function afterAbsent(
  state: SagaState,
  seen: Extract<LookResult, { kind: 'absent' }>,
  nowMs: number,
): Decision {
  // An accepted refund may be listed late: only the bound of confirming ends that wait, never a resend.
  if (seen.accepted || state.stage === 'confirming' || state.stage === 'review') {
    return pauseBeforeLook(state, nowMs, null);
  }
  if (!seen.proven) return pauseBeforeLook(state, nowMs, null, seen.quietUntilMs);
  if (state.declined) return compensate(state, 'provider_declined');
  if (windowClosed(state, nowMs)) return compensate(state, 'refund_window_expired');
  if (state.resendAfterMs !== null && nowMs < state.resendAfterMs) {
    return pauseBeforeLook(state, nowMs, state.resendAfterMs - nowMs);
  }
  if (state.resends >= AUTOMATIC_RESENDS) {
    return review(state, 'Sent twice, and both times the provider neither answered clearly nor shows it.');
  }
  return goAhead({ ...enter(state, 'waiting', nowMs), resends: state.resends + 1 }, nowMs);
}

/** A refused resolution has read the provider, and what that showed may decide. */
function afterResolution(state: SagaState, result: Resolved, nowMs: number): Decision {
  switch (result.kind) {
    case 'closed':
      return ended(state, result.status);
    case 'resend': {
      const resending = { ...enter(state, 'waiting', nowMs), attempt: result.attempt };
      return result.approval
        ? awaitToldApproval(resending, result.approval, nowMs)
        : goAhead(resending, nowMs);
    }
    case 'refused':
      return look(state);
    default:
      return assertNever(result);
  }
}

/** The ledger's record decides. Once, reading alone may bring the two together; after that a person must look. */
function afterRefusal(before: SagaState, nowMs: number): Decision {
  const refusals = before.refusals + 1;
  const state = { ...enter(before, 'resolving', nowMs), refusals, firstSentAtMs: null };
  if (state.refusals === 1) return pauseBeforeLook(state, nowMs, null);
  return review(state, 'The ledger refuses to close the refund: its record of the attempts says otherwise.');
}

function afterPause(state: SagaState, nowMs: number): Decision {
  switch (state.stage) {
    case 'approving': {
      const onward = goOnWaiting(state, nowMs);
      return state.approval?.isHearsay && onward.step.kind === 'pause' ? seeApproval(state) : onward;
    }
    case 'waiting':
    case 'submitting': {
      const warning = dueWarning(state, nowMs);
      return warning
        ? { state: told(state, warning), step: { kind: 'remind', of: warning } }
        : afterUnsentWait(state, nowMs);
    }
    case 'resolving':
      if (overdue(state, nowMs, termsOf(state).unknownReviewAfterMs)) {
        return review(state, 'The outcome stayed unclear for as long as the policy allows.');
      }
      if (mayRepeat(state, nowMs)) return repeat(state);
      return look(state);
    case 'confirming':
      if (overdue(state, nowMs, termsOf(state).processingReviewAfterMs)) {
        return review(
          state,
          'The provider accepted it and has not confirmed it for as long as the policy allows.',
        );
      }
      return look(state);
    case 'review':
      return look(state);
    case 'admitting':
    case 'closing':
    case 'ended':
      throw new Error(`no pause belongs to the stage ${state.stage}`);
    default:
      return assertNever(state.stage);
  }
}

/** Nothing is sent and something is in the way: wait for it, within the policy's bound and the window. */
function waitUnsent(
  before: SagaState,
  reason: WaitReason,
  retryAfterMs: number | null,
  nowMs: number,
): Decision {
  const known = before.waits[reason];
  const sinceMs = known?.sinceMs ?? nowMs;
  const round = known?.rounds ?? 0;
  const waits = { ...before.waits, [reason]: { sinceMs, rounds: round + 1 } };
  const state: SagaState = { ...before, stage: 'waiting', wait: { reason, sinceMs }, waits, round };
  const bounds = waitBounds(state);
  if (nowMs >= bounds.untilMs) return compensate(state, bounds.reason);
  const { retryMaxMs } = termsOf(state);
  const longestMs = reason === 'queued' ? Math.min(retryMaxMs, QUEUED_PAUSE_MS_MAX) : retryMaxMs;
  const wanted = Math.max(retryAfterMs ?? 0, growing(RETRY_FIRST_MS, round, longestMs));
  return {
    state,
    step: { kind: 'pause', ms: Math.min(wanted, longestMs, bounds.untilMs - nowMs), why: reason },
  };
}

function afterUnsentWait(state: SagaState, nowMs: number): Decision {
  const bounds = waitBounds(state);
  if (nowMs >= bounds.untilMs) return compensate(state, bounds.reason);
  return goAhead(state, nowMs);
}

/** Under its own key, which makes one refund of however many sendings. */
function repeat(state: SagaState): Decision {
  return { state, step: { kind: 'submit', attempt: state.attempt } };
}

function look(state: SagaState): Decision {
  return { state, step: { kind: 'look' } };
}

function seeApproval(state: SagaState): Decision {
  return { state, step: { kind: 'seeApproval' } };
}

function settle(state: SagaState): Decision {
  return { state: { ...state, stage: 'closing' }, step: { kind: 'settle' } };
}

function compensate(state: SagaState, reason: FailureReason): Decision {
  return { state: { ...state, stage: 'closing' }, step: { kind: 'compensate', reason } };
}

/** A person must look; a refund that is in review already stays there. */
function review(state: SagaState, why: string): Decision {
  if (state.stage === 'review') return pauseInReview(state);
  return { state, step: { kind: 'review', why } };
}

function ended(state: SagaState, status: RefundStatus | 'refused'): Decision {
  return { state: { ...state, stage: 'ended' }, step: { kind: 'end', status } };
}

function enter(state: SagaState, stage: Stage, nowMs: number): SagaState {
  return state.stage === stage
    ? state
    : { ...state, stage, stageSinceMs: nowMs, round: 0, wait: null, waits: {} };
}

function overdue(state: SagaState, nowMs: number, boundMs: number): boolean {
  return nowMs >= state.stageSinceMs + boundMs;
}
