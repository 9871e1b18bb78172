/**
 * The refund's process as a pure state machine: `decide(state, observation, nowMs)` gives the next state and the
 * one step to carry out. Every choice is made here; the workflow performs steps and reports what it saw.
 * The ledger checks again whatever moves money: a step is a proposal, never an order to believe.
 */
import { assertNever } from './errors.js';
import type { FailureReason, RefundStatus } from './refund.js';

/** What admission fixed for the whole run: the workflow reads neither clock zone, environment nor policy. */
export interface SagaTerms {
  readonly provider: string;
  readonly paymentId: string;
  readonly amountMinor: number;
  readonly currency: string;
  /** One attempt a payment at a time: the provider has no idempotency key. */
  readonly needsLane: boolean;
  /** The same key may be sent again while the outcome is unclear. */
  readonly idempotentSubmit: boolean;
  /** The last instant for a new submit; null where no window applies. */
  readonly submitBeforeMs: number | null;
  readonly quietMs: number;
  readonly pollMs: number;
  readonly pollMaxMs: number;
  readonly retryMaxMs: number;
  readonly insufficientBalanceWaitMs: number;
  readonly providerUnavailableWaitMs: number;
  readonly processingReviewAfterMs: number;
  readonly unknownReviewAfterMs: number;
}

export type Stage =
  'admitting' | 'waiting' | 'submitting' | 'resolving' | 'confirming' | 'review' | 'closing' | 'ended';

/** Why nothing has been sent yet. */
export type WaitReason =
  'queued' | 'insufficient_balance' | 'provider_unavailable' | 'authorization_required';

export interface SagaState {
  readonly stage: Stage;
  readonly terms: SagaTerms | null;
  /** The last claimed attempt, 0 before the first. */
  readonly attempt: number;
  /** When the first bytes of that attempt may have left; null while none did. */
  readonly firstSentAtMs: number | null;
  /** The provider refused a repeat, and only reading tells whether an earlier sending landed. */
  readonly declined: boolean;
  /** Resends after proven absence: one is automatic, a second is a person's decision. */
  readonly resends: number;
  readonly wait: { readonly reason: WaitReason; readonly sinceMs: number } | null;
  /** Every wait since an attempt was last under way: going from one to another and back restarts no bound. */
  readonly waits: Readonly<
    Partial<Record<WaitReason, { readonly sinceMs: number; readonly rounds: number }>>
  >;
  /** When the present stage began; its bounds count from here. */
  readonly stageSinceMs: number;
  /** Pauses taken in the present stage or wait: the next is longer. */
  readonly round: number;
  readonly resendAfterMs: number | null;
  /** How often the ledger refused to close: its record and this one disagree. */
  readonly refusals: number;
}

export type SubmitResult =
  | { readonly kind: 'done' | 'accepted'; readonly attempt: number }
  /** `resolveFirst`: an earlier sending may be why it was declined. */
  | { readonly kind: 'declined'; readonly attempt: number; readonly resolveFirst: boolean }
  | {
      readonly kind: 'notNow';
      readonly attempt: number;
      readonly reason: Exclude<WaitReason, 'queued'>;
      readonly retryAfterMs: number | null;
    }
  | {
      readonly kind: 'unknown';
      readonly attempt: number;
      readonly firstSentAtMs: number;
      readonly resendAfterMs: number | null;
    }
  /** Looked at again just before the call, the refund breaks a rule: nothing was sent. */
  | { readonly kind: 'ineligible'; readonly attempt: number; readonly code: FailureReason };

export type LookResult =
  | { readonly kind: 'landed' | 'rejected' | 'processing' }
  /** A documented word that leaves it open, or one that no document lists. */
  | { readonly kind: 'unclear' | 'unknownStatus'; readonly providerStatus: string }
  | {
      readonly kind: 'absent';
      readonly proven: boolean;
      readonly quietUntilMs: number;
      readonly accepted: boolean;
    }
  | { readonly kind: 'cannotTell' | 'otherAmount'; readonly why: string }
  | { readonly kind: 'unavailable'; readonly retryAfterMs: number | null }
  /** The ledger holds no open attempt: nothing was ever sent under this number. */
  | { readonly kind: 'notSent'; readonly attempt: number };

export type Observation =
  | { readonly kind: 'started' }
  | { readonly kind: 'admitted'; readonly terms: SagaTerms }
  | { readonly kind: 'notAdmitted' }
  | { readonly kind: 'laneTaken' }
  | { readonly kind: 'laneBusy' }
  | { readonly kind: 'submitted'; readonly result: SubmitResult }
  /** The call's worker died: the ledger alone knows how far it came. */
  | { readonly kind: 'callLost' }
  | { readonly kind: 'looked'; readonly result: LookResult }
  | { readonly kind: 'paused' }
  | { readonly kind: 'reviewed' }
  /** The ledger carried the closing step out, or refused it because its own record says otherwise. */
  | { readonly kind: 'closed'; readonly status: RefundStatus }
  | { readonly kind: 'closingRefused' };

export type Step =
  | { readonly kind: 'admit' }
  | { readonly kind: 'takeLane' }
  /** Claims the attempt and calls; where it is claimed already, only a provider with idempotency keys is called again. */
  | { readonly kind: 'submit'; readonly attempt: number }
  | { readonly kind: 'look' }
  /** Reads on and on, ever more rarely, until something is decided or `untilMs`; a hint ends it. */
  | { readonly kind: 'watch'; readonly untilMs: number }
  | { readonly kind: 'pause'; readonly ms: number; readonly why: string }
  | { readonly kind: 'settle' }
  | { readonly kind: 'compensate'; readonly reason: FailureReason }
  | { readonly kind: 'review'; readonly why: string }
  | { readonly kind: 'end'; readonly status: RefundStatus | 'refused' };

export interface Decision {
  readonly state: SagaState;
  readonly step: Step;
}

/** A repeat under one key is trusted for this long after its first sending; PicPay's retention is not documented. */
const REPEAT_FOR_MS = 24 * 3_600_000;
const RETRY_FIRST_MS = 1_000;
/** So many growing pauses with a look each, then one polling activity for the long silence. */
const LOOKS_BEFORE_WATCH = 6;
const AUTOMATIC_RESENDS = 1;
/** A refund in review is read on for as long as it takes, by one activity after another. */
const REVIEW_WATCH_MS = 30 * 24 * 3_600_000;

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
      return goAhead({ ...state, terms: seen.terms }, nowMs);
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
    case 'closed':
      return ended(state, seen.status);
    case 'closingRefused':
      return afterRefusal(state, nowMs);
    default:
      return assertNever(seen);
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
        nowMs,
        `The provider shows the status ${result.providerStatus}, which no document lists.`,
      );
    case 'cannotTell':
    case 'otherAmount':
      return review(state, nowMs, result.why);
    case 'unavailable':
      return pauseBeforeLook(state, nowMs, result.retryAfterMs);
    case 'notSent':
      if (state.stage === 'review') return pauseInReview(state, nowMs);
      return goAhead({ ...enter(state, 'waiting', nowMs), attempt: result.attempt }, nowMs);
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
    return review(
      state,
      nowMs,
      'Sent twice, and both times the provider neither answered clearly nor shows it.',
    );
  }
  return goAhead({ ...enter(state, 'waiting', nowMs), resends: state.resends + 1 }, nowMs);
}

/** The ledger's record decides. Once, reading may bring the two together; after that a person must look. */
function afterRefusal(before: SagaState, nowMs: number): Decision {
  const state = { ...enter(before, 'resolving', nowMs), refusals: before.refusals + 1 };
  if (state.refusals === 1) return pauseBeforeLook(state, nowMs, null);
  return review(
    state,
    nowMs,
    'The ledger refuses to close the refund: its record of the attempts says otherwise.',
  );
}

function afterPause(state: SagaState, nowMs: number): Decision {
  switch (state.stage) {
    case 'waiting':
    case 'submitting':
      return afterUnsentWait(state, nowMs);
    case 'resolving':
      if (overdue(state, nowMs, termsOf(state).unknownReviewAfterMs)) {
        return review(state, nowMs, 'The outcome stayed unclear for as long as the policy allows.');
      }
      if (mayRepeat(state, nowMs)) return { state, step: { kind: 'submit', attempt: state.attempt } };
      return look(state);
    case 'confirming':
      if (overdue(state, nowMs, termsOf(state).processingReviewAfterMs)) {
        return review(
          state,
          nowMs,
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
  const wanted = Math.max(retryAfterMs ?? 0, growing(RETRY_FIRST_MS, round, retryMaxMs));
  return {
    state,
    step: { kind: 'pause', ms: Math.min(wanted, retryMaxMs, bounds.untilMs - nowMs), why: reason },
  };
}

function afterUnsentWait(state: SagaState, nowMs: number): Decision {
  const bounds = waitBounds(state);
  if (nowMs >= bounds.untilMs) return compensate(state, bounds.reason);
  return goAhead(state, nowMs);
}

function waitBounds(state: SagaState): { untilMs: number; reason: FailureReason } {
  const terms = termsOf(state);
  const windowMs = terms.submitBeforeMs ?? Infinity;
  const policyMs = policyBoundMs(state);
  return policyMs < windowMs
    ? {
        untilMs: policyMs,
        reason:
          state.wait?.reason === 'insufficient_balance' ? 'insufficient_balance' : 'provider_unavailable',
      }
    : { untilMs: windowMs, reason: 'refund_window_expired' };
}

function policyBoundMs(state: SagaState): number {
  const { wait } = state;
  if (!wait) return Infinity;
  switch (wait.reason) {
    case 'queued':
      return Infinity;
    case 'insufficient_balance':
      return wait.sinceMs + termsOf(state).insufficientBalanceWaitMs;
    case 'provider_unavailable':
    case 'authorization_required':
      return wait.sinceMs + termsOf(state).providerUnavailableWaitMs;
    default:
      return assertNever(wait.reason);
  }
}

/** What ends a watch at once must not start the next one at once: between two such looks lies a pause. */
function pauseInReview(state: SagaState, nowMs: number): Decision {
  const { pollMs, pollMaxMs } = termsOf(state);
  const ms = growing(Math.min(pollMs, pollMaxMs), state.round, pollMaxMs);
  return { state: { ...state, round: state.round + 1 }, step: { kind: 'pause', ms, why: 'outcome_unknown' } };
}

/** A pause before the next look (or repeat), growing by round; after some rounds one watching activity takes over. */
function pauseBeforeLook(
  before: SagaState,
  nowMs: number,
  retryAfterMs: number | null,
  quietUntilMs?: number,
): Decision {
  const terms = termsOf(before);
  const state: SagaState = { ...before, round: before.round + 1 };
  const longest = state.stage === 'resolving' ? Math.max(terms.quietMs / 3, 250) : terms.pollMaxMs;
  const pace = growing(Math.min(terms.pollMs, longest), before.round, Math.min(longest, terms.pollMaxMs));
  // Once the quiet time is over, one more complete read decides.
  const untilQuiet = quietUntilMs !== undefined && quietUntilMs > nowMs ? quietUntilMs - nowMs : pace;
  const ms = Math.min(Math.max(retryAfterMs ?? 0, Math.min(pace, untilQuiet)), terms.pollMaxMs);

  const mayWatch = (state.stage === 'confirming' || state.stage === 'review') && state.refusals === 0;
  if (mayWatch && state.round > LOOKS_BEFORE_WATCH) {
    const untilMs =
      state.stage === 'review' ? nowMs + REVIEW_WATCH_MS : state.stageSinceMs + terms.processingReviewAfterMs;
    if (untilMs > nowMs) return { state, step: { kind: 'watch', untilMs } };
  }
  return {
    state,
    step: {
      kind: 'pause',
      ms,
      why: state.stage === 'confirming' ? 'provider_processing' : 'outcome_unknown',
    },
  };
}

function mayRepeat(state: SagaState, nowMs: number): boolean {
  const terms = termsOf(state);
  return (
    state.stage === 'resolving' &&
    terms.idempotentSubmit &&
    !state.declined &&
    state.firstSentAtMs !== null &&
    nowMs < state.firstSentAtMs + REPEAT_FOR_MS &&
    !windowClosed(state, nowMs)
  );
}

function look(state: SagaState): Decision {
  return { state, step: { kind: 'look' } };
}

function settle(state: SagaState): Decision {
  return { state: { ...state, stage: 'closing' }, step: { kind: 'settle' } };
}

function compensate(state: SagaState, reason: FailureReason): Decision {
  return { state: { ...state, stage: 'closing' }, step: { kind: 'compensate', reason } };
}

/** A person must look; a refund that is in review already stays there. */
function review(state: SagaState, nowMs: number, why: string): Decision {
  if (state.stage === 'review') return pauseInReview(state, nowMs);
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

/** The window forbids a new sending; it ends nothing that is already open. */
function windowClosed(state: SagaState, nowMs: number): boolean {
  const before = termsOf(state).submitBeforeMs;
  return before !== null && nowMs >= before;
}

function growing(firstMs: number, round: number, mostMs: number): number {
  return Math.min(mostMs, firstMs * 2 ** Math.min(round, 30));
}

function termsOf(state: SagaState): SagaTerms {
  if (!state.terms) throw new Error('no terms before admission');
  return state.terms;
}
