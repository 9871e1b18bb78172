/** What a worker does at the provider, step by step as in activities/; it may die or freeze wherever it yields. */
import { assertNever } from '../src/domain/errors.js';
import type { SubmitOutcome } from '../src/domain/provider.js';
import type { LookResult, Resolved, SubmitResult } from '../src/domain/saga-state.js';
import { checkClaim, checkLook, checkSend, checkVote } from './invariants.js';
import { recordAnswer, recordNotNow, standingResult, type Recorded } from './ledger/answers.js';
import { claimAttempt, noteRepeat, type ClaimOutcome } from './ledger/attempts.js';
import type { Handled, Message } from './ledger/approval-standing.js';
import { extendApproval } from './ledger/approvals.js';
import { attemptsOf, refundOf, type AttemptRow, type Reading, type RefundRow } from './ledger/books.js';
import { cancelRefund } from './ledger/cancellation.js';
import { attemptToLookFor, recordLook } from './ledger/looks.js';
import { resolveRefund, type Resend } from './ledger/resolution.js';
import { castVote } from './ledger/votes.js';
import { PROVIDER_TIMEOUT_MS, QUIET_MS, SECOND_MS, SEND_WITHIN_MS } from './timings.js';
import type { Thread, World } from './world.js';

const BOUNDS = { providerTimeoutMs: PROVIDER_TIMEOUT_MS, quietMs: QUIET_MS };

interface Worker {
  readonly world: World;
  readonly refund: RefundRow;
  readonly clock: () => number;
}

/** Looks once more, claims the attempt, calls once, and stores the answer before it returns. */
export function* submitActivity(
  world: World,
  refundId: string,
  number: number,
  workflowNowMs: number,
): Thread<Recorded> {
  const worker: Worker = { world, refund: refundOf(world.books, refundId), clock: world.workerClock() };
  const existing = attemptsOf(world.books, refundId).find((attempt) => attempt.number === number);
  if (existing) return yield* continueClaimed(worker, existing, workflowNowMs);
  if (!world.rules.mayClaim(worker.refund)) return notPending(worker);

  const readAtMs = worker.clock();
  yield world.random.upTo(SECOND_MS);
  const reading = world.provider.read(readAtMs);
  yield world.random.upTo(SECOND_MS);
  if (!reading) return postpone(worker, world.provider.retryAfterMs());
  const nowMs = worker.clock();
  const sendByMs = nowMs + SEND_WITHIN_MS;
  const decisionMs = Math.max(workflowNowMs, nowMs);
  const othersOpen = world.books.attempts.filter(({ conclusion }) => conclusion === null).length;
  const claimed = claimAttempt(world.books, { refundId, number, reading, sendByMs, nowMs, decisionMs });
  world.note(refundId, `claim ${number}: ${claimed.kind}`);
  if (claimed.kind === 'claimed') checkClaim(world, claimed.attempt, othersOpen, decisionMs);
  return yield* afterClaim(worker, claimed, sendByMs);
}

function* afterClaim(worker: Worker, claimed: ClaimOutcome, sendByMs: number): Thread<Recorded> {
  const { world, refund } = worker;
  world.count(`claim: ${claimed.kind}`);
  switch (claimed.kind) {
    case 'claimed':
      return yield* call(worker, claimed.attempt, sendByMs);
    case 'exists':
      return kept(standingResult(claimed.attempt));
    case 'earlierOpen':
      return kept({
        kind: 'unknown',
        attempt: refund.attempt,
        firstSentAtMs: worker.clock(),
        resendAfterMs: null,
      });
    case 'unusableReading':
      return postpone(worker, null);
    case 'laneLost':
      return postpone(worker, 0);
    case 'ineligible':
      return kept({ kind: 'ineligible', attempt: refund.attempt, code: claimed.code });
    case 'refundClosed':
      return notPending(worker);
    default:
      return assertNever(claimed);
  }
}

/** The claim is somebody's already: only under an idempotency key may it be sent again. */
function* continueClaimed(worker: Worker, attempt: AttemptRow, workflowNowMs: number): Thread<Recorded> {
  const { world, refund } = worker;
  const nowMs = worker.clock();
  const decisionMs = Math.max(workflowNowMs, nowMs);
  const may = world.rules.maySendAgain(world.books, attempt, refund.submitBeforeMs, nowMs, decisionMs);
  if (!may) return kept(standingResult(attempt));
  const sendByMs = nowMs + SEND_WITHIN_MS;
  const noted = noteRepeat(world.books, { refundId: refund.id, number: attempt.number, sendByMs });
  return noted ? yield* call(worker, attempt, sendByMs) : kept(standingResult(attempt));
}

function* call(worker: Worker, attempt: AttemptRow, sendByMs: number): Thread<Recorded> {
  const { world, refund } = worker;
  yield world.random.upTo(SECOND_MS);
  const outcome = send(worker, attempt, sendByMs);
  world.note(refund.id, `call ${attempt.number}: ${outcome.kind}`);
  yield world.random.upTo(world.storms('slow answer', 0.1) ? PROVIDER_TIMEOUT_MS : SECOND_MS);
  while (world.storms('ledger away', 0.05)) yield SECOND_MS;
  const recorded = recordAnswer(world.books, attempt, outcome, worker.clock());
  world.note(refund.id, recorded.result);
  return recorded;
}

/** The clock is asked at the last instant before bytes may leave. */
function send({ world, clock }: Worker, attempt: AttemptRow, sendByMs: number): SubmitOutcome {
  if (clock() >= sendByMs) {
    world.count('sent too late');
    return {
      kind: 'notNow',
      reason: 'send_by_passed',
      error: { code: 'send_by_passed', message: '' },
      retryAfterMs: null,
    };
  }
  checkSend(world, attempt);
  return world.provider.submit(attempt);
}

/** Reads the provider once and stores what that says of the refund's last attempt. */
export function* lookActivity(world: World, refundId: string, inReview: boolean): Thread<LookResult> {
  if (inReview && refundOf(world.books, refundId).status !== 'review') return { kind: 'awaitsVotes' };
  const wanted = attemptToLookFor(world.books, refundId);
  if ('known' in wanted) return wanted.known;
  const clock = world.workerClock();
  const readAtMs = clock();
  yield world.random.upTo(SECOND_MS);
  const reading = world.provider.read(readAtMs);
  yield world.random.upTo(SECOND_MS);
  if (!reading) return { kind: 'unavailable', retryAfterMs: world.provider.retryAfterMs() };
  const look = { refundId, reading, bounds: BOUNDS, nowMs: clock() };
  const result = looking(world, refundId, reading, () => recordLook(world.books, look));
  world.note(refundId, result);
  return result;
}

function looking<Result>(world: World, refundId: string, reading: Reading, look: () => Result): Result {
  const now = attemptToLookFor(world.books, refundId);
  const before = 'attempt' in now ? now.attempt.conclusion : null;
  const result = look();
  if ('attempt' in now) checkLook(world, now.attempt, before, reading);
  return result;
}

/** Judges what a person asked, by the later of the workflow's clock and the worker's. */
export function* messageActivity(world: World, message: Message, workflowNowMs: number): Thread<Handled> {
  const clock = world.workerClock();
  yield world.random.upTo(SECOND_MS);
  const handled = judge(world, message, Math.max(workflowNowMs, clock()));
  world.count(`message: ${handled.verdict}`);
  if (world.trace) world.note(message.refundId, { message, handled });
  yield world.random.upTo(SECOND_MS / 10);
  return handled;
}

function judge(world: World, message: Message, nowMs: number): Handled {
  const { books } = world;
  const { ask, refundId } = message;
  switch (ask.action) {
    case 'approve':
    case 'reject': {
      const refund = refundOf(books, refundId);
      const counted = refund.approval?.votes.length;
      const handled = castVote(books, message, ask.action, nowMs);
      if (counted !== refund.approval?.votes.length) checkVote(world, refund);
      return handled;
    }
    case 'cancel':
      return cancelRefund(books, message, nowMs);
    case 'extend':
      return extendApproval(books, message, ask.expiresAtMs, nowMs);
    default:
      return assertNever(ask);
  }
}

/** Reads once more, then has it sent again, unless what is shown contradicts it. */
export function* resolveActivity(world: World, decision: Resend): Thread<Resolved> {
  const { books } = world;
  const { refundId } = decision;
  const clock = world.workerClock();
  const readAtMs = clock();
  yield world.random.upTo(SECOND_MS);
  const reading = world.provider.read(readAtMs);
  yield world.random.upTo(SECOND_MS);
  const { version, status } = refundOf(books, refundId);
  const ask = { decision, reading, bounds: BOUNDS, nowMs: clock() };
  const resolving = (): Resolved => resolveRefund(books, ask);
  const result = reading ? looking(world, refundId, reading, resolving) : resolving();
  world.note(refundId, result);
  if (status === 'review' && refundOf(books, refundId).version !== version) world.callPeople(refundId);
  world.count(`resolution: ${result.kind}`);
  return result;
}

function postpone({ world, refund, clock }: Worker, retryAfterMs: number | null): Recorded {
  return recordNotNow(world.books, refund.id, { reason: 'provider_unavailable', retryAfterMs }, clock());
}

function notPending({ refund }: Worker): Recorded {
  return kept({ kind: 'notPending', attempt: refund.attempt });
}

function kept(result: SubmitResult): Recorded {
  return { result, wakeRefundId: null };
}
