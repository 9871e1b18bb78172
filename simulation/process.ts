/** One refund's process: the saga decides, this carries out, as workflows/ does. Everything that it runs may be lost. */
import { assertNever } from '../src/domain/errors.js';
import { isOpen } from '../src/domain/refund.js';
import { begin } from '../src/domain/saga.js';
import type {
  ApprovalStanding,
  ApprovalWait,
  Decision,
  LookResult,
  Observation,
  SagaState,
  Stage,
  Step,
} from '../src/domain/saga-state.js';
import { lookActivity, messageActivity, resolveActivity, submitActivity } from './activities.js';
import { byEngine, detached, inLedger, untilDone, waking, type Runner } from './engine.js';
import { checkExpiry, checkSleep, hold } from './invariants.js';
import { admitRefund, type AskedRefund } from './ledger/admission.js';
import { approvalStanding, approvalWait, type Message } from './ledger/approval-standing.js';
import { expireApproval, noteReminder } from './ledger/approvals.js';
import { attemptsOf, refundOf, type Books, type RefundRow } from './ledger/books.js';
import { takeLane } from './ledger/lanes.js';
import type { Resend } from './ledger/resolution.js';
import { compensateRefund, moveToReview, settleRefund, type Closing } from './ledger/settlement.js';
import { afterWait, isWoken, noNews, takeIn, type News } from './news.js';
import { SECOND_MS } from './timings.js';
import type { Actor, Thread, World } from './world.js';

const STEPS_MAX = 20_000;
const STEPS_BETWEEN_PAUSES_MAX = 40;
const LOOKS_AT_REST = 2;

export interface Process extends Actor, Runner {
  readonly asked: AskedRefund;
  /** Ended, or waiting for a person in a world in which nothing more happens. */
  atRest: boolean;
  /** One more with every loss: what an earlier run asked for is told to nobody. */
  run: number;
  news: News;
  /** The newest word that this run was told of its approval. */
  heard: ApprovalStanding | null;
  asleepIn: SagaState | null;
  stage: Stage;
  /** What people asked of this run: a reset hears it all again. */
  received: { readonly messages: Message[]; readonly resends: Resend[] };
  /** Every decision so far: a reset goes back to one of them. */
  history: Past[];
  looksAtRest: number;
  /** It has paused since its last step. */
  paused: boolean;
}

interface Past {
  readonly decision: Decision;
  readonly atMs: number;
}

export function startProcess(world: World, asked: AskedRefund, inMs: number): Process {
  const process: Process = {
    name: asked.id,
    asked,
    thread: nothing(),
    readyAtMs: world.nowMs + inMs,
    atRest: false,
    run: 1,
    news: noNews(),
    heard: null,
    asleepIn: null,
    stage: 'admitting',
    received: { messages: [], resends: [] },
    inFlight: null,
    history: [],
    looksAtRest: 0,
    paused: false,
  };
  process.thread = run(world, process, null);
  return process;
}

/** The process is gone: whatever it ran may go on without it, and a new run resumes from the ledger, or from a state of old. */
export function loseProcess(world: World, process: Process): void {
  if (process.inFlight && world.random.chance(0.6)) world.act('zombie', detached(process.inFlight), 0);
  const earlier = process.history[world.random.whole(process.history.length)];
  const isReset = earlier !== undefined && world.storms('reset', 0.3);
  const { messages, resends } = process.received;
  process.run += 1;
  process.news = noNews();
  process.heard = null;
  process.asleepIn = null;
  process.stage = 'admitting';
  process.received = { messages: [], resends: [] };
  process.inFlight = null;
  process.history = [];
  process.thread = run(world, process, isReset ? again(earlier, world.nowMs) : null);
  process.readyAtMs = world.nowMs + (isReset ? 0 : world.random.upTo(60 * SECOND_MS));
  if (!isReset) return;
  process.stage = earlier.decision.state.stage;
  for (const message of messages) receive(world, process, message);
  for (const resend of resends) receiveResend(world, process, resend);
}

/** A timer rings when it was to ring, however often its run is told anew. */
function again({ decision, atMs }: Past, nowMs: number): Decision {
  const { state, step } = decision;
  if (step.kind !== 'pause') return decision;
  return { state, step: { ...step, ms: Math.max(1, atMs + step.ms - nowMs) } };
}

/** A person's message is judged at once, whatever the process is doing; the process goes on from what that made of it. */
export function receive(world: World, process: Process, message: Message): void {
  process.received.messages.push(message);
  world.act('message', judged(world, process, message), 0);
}

function* judged(world: World, process: Process, message: Message): Thread {
  const { run } = process;
  const { nowMs } = world;
  const runner = { inFlight: null };
  const { standing, wakeRefundId } = yield* untilDone(world, runner, () =>
    messageActivity(world, message, nowMs),
  );
  yield world.storms('told late', 0.3) ? world.random.upTo(30 * SECOND_MS) : world.random.upTo(20);
  if (process.run !== run) return;
  world.act('wake', waking(world, wakeRefundId), 0);
  takeIn(process.news, standing, world.rules);
  if (standing.version >= (process.heard?.version ?? 0)) process.heard = standing;
  const lateMs = world.storms('workflow task late', 0.3) ? world.random.upTo(10 * SECOND_MS) : 0;
  wakeSleeping(world, process, lateMs);
}

/** A person wants it sent again; whoever is not in review knows nothing of that, and may be wrong. */
export function receiveResend(world: World, process: Process, resend: Resend): void {
  if (process.stage === 'review') {
    process.received.resends.push(resend);
    process.news.resolutions.push(resend);
  } else process.news.isDoubted = true;
  wakeSleeping(world, process, 0);
}

export function wake(world: World, process: Process, by: 'hint' | 'laneFreed'): void {
  process.news[by] = true;
  wakeSleeping(world, process, 0);
}

function wakeSleeping(world: World, process: Process, lateMs: number): void {
  const { asleepIn, news } = process;
  if (!asleepIn || !isWoken(asleepIn, news)) return;
  process.readyAtMs = Math.min(process.readyAtMs, world.nowMs + lateMs);
}

function* run(world: World, process: Process, from: Decision | null): Thread {
  let decision = from ?? world.rules.decide(begin(world.nowMs), { kind: 'started' }, world.nowMs);
  let sincePause = 0;
  for (let steps = 0; ; steps += 1) {
    const { state, step } = decision;
    if (step.kind === 'end') break;
    hold(steps < STEPS_MAX, 'a refund reaches its end');
    sincePause = process.paused ? 0 : sincePause + 1;
    process.paused = false;
    hold(sincePause < STEPS_BETWEEN_PAUSES_MAX, 'nothing is asked again and again without a pause');
    process.history.push({ decision, atMs: world.nowMs });
    process.stage = state.stage;
    if (state.stage !== 'review') process.news.resolutions.splice(0);
    const seen: Observation | null = yield* carryOut(world, process, state, step);
    if (!seen) break;
    decision = world.rules.decide(state, seen, world.nowMs);
    if (world.trace) world.note(process.name, { seen, stage: decision.state.stage, step: decision.step });
  }
  process.atRest = true;
}

/** The one place that knows every step; null where nothing more can come of it in this world. */
function* carryOut(
  world: World,
  process: Process,
  state: SagaState,
  step: Exclude<Step, { kind: 'end' }>,
): Thread<Observation | null> {
  const { books } = world;
  const { id } = process.asked;
  switch (step.kind) {
    case 'admit':
      return yield* inLedger(world, () => admit(world, process.asked));
    case 'takeLane': {
      const answer = yield* inLedger(world, () => takeLane(books, id, world.nowMs));
      return { kind: answer === 'taken' ? 'laneTaken' : 'laneBusy' };
    }
    case 'submit': {
      const nowMs = world.nowMs;
      const done = yield* byEngine(world, process, () => submitActivity(world, id, step.attempt, nowMs));
      if (!done) return { kind: 'callLost' };
      world.act('wake', waking(world, done.wakeRefundId), 0);
      return { kind: 'submitted', result: done.result };
    }
    case 'look': {
      if (rests(world, process, state)) return null;
      process.news.hint = false;
      const inReview = state.stage === 'review';
      const result = yield* byEngine(world, process, () => lookActivity(world, id, inReview));
      return { kind: 'looked', result: result ?? { kind: 'unavailable', retryAfterMs: null } };
    }
    case 'watch':
      return yield* watch(world, process, state, step.untilMs);
    case 'pause': {
      const { pollMaxMs, retryMaxMs } = world.termsFor(process.asked);
      const longestMs = state.stage === 'approving' ? Infinity : Math.max(pollMaxMs, retryMaxMs);
      hold(step.ms > 0 && step.ms <= longestMs, 'a pause has a length and a bound');
      if (waitsBehindReview(world, process, state)) return null;
      yield* sleep(process, state, step.ms);
      return yield* whatCameMeanwhile(world, process, state);
    }
    case 'settle':
      return closed(world, id, yield* inLedger(world, () => settleRefund(books, id, world.nowMs)));
    case 'compensate':
      return closed(
        world,
        id,
        yield* inLedger(world, () => compensateRefund(books, id, step.reason, world.nowMs)),
      );
    case 'review':
      yield* inLedger(world, () => {
        moveToReview(books, id, step.why);
      });
      world.callOperator(id);
      return { kind: 'reviewed' };
    case 'expire':
      return yield* expire(world, id);
    case 'seeApproval':
      return { kind: 'approvalSeen', standing: yield* standingOf(world, process) };
    case 'remind':
      return {
        kind: 'reminded',
        standing: yield* inLedger(world, () => noteReminder(books, id, step.of)),
      };
    case 'resolve': {
      const asked = process.news.resolutions.shift();
      if (!asked) throw new Error('no resolution was asked for');
      const result = yield* untilDone(world, process, () => resolveActivity(world, asked));
      return { kind: 'resolved', result };
    }
    default:
      return assertNever(step);
  }
}

function admit(world: World, asked: AskedRefund): Observation {
  const { books } = world;
  const known = books.refunds.find(({ id }) => id === asked.id);
  if (!known) {
    const admitted = admitRefund(books, asked, world.provider.read(world.nowMs), world.nowMs);
    if (!admitted) return { kind: 'notAdmitted' };
    world.callPeople(asked.id);
    return { kind: 'admitted', terms: world.termsFor(asked), ...waitOf(books, admitted) };
  }
  if (!isOpen(known.status)) return { kind: 'notAdmitted' };
  const attempts = attemptsOf(books, asked.id);
  return {
    kind: 'resumed',
    terms: world.termsFor(asked),
    attempt: known.attempt,
    firstSentAtMs: attempts.findLast(({ conclusion }) => conclusion === null)?.claimedAtMs ?? null,
    resends: attempts.filter(({ conclusion, number }) => conclusion === 'absent' && number < known.attempt)
      .length,
    inReview: known.status === 'review',
    ...waitOf(books, known),
  };
}

/** Nothing where it waits for nobody. */
function waitOf(books: Books, refund: RefundRow): { approval?: ApprovalWait } {
  return refund.status === 'requires_approval' ? { approval: approvalWait(books, refund) } : {};
}

/** People may have been faster: the ledger says how it stands. */
function* expire(world: World, refundId: string): Thread<Observation> {
  const { books } = world;
  const startedMs = world.nowMs;
  const clock = world.workerClock();
  const expiry = yield* inLedger(world, () => {
    const before = refundOf(books, refundId).status;
    const done = expireApproval(books, refundId, Math.max(startedMs, clock()));
    checkExpiry(world, refundOf(books, refundId), before);
    return done;
  });
  world.act('wake', waking(world, expiry.wakeRefundId), 0);
  return { kind: 'approval', standing: expiry.standing };
}

/** Looks on and on; ended by a decision, by its bound, or by a hint. */
function* watch(
  world: World,
  process: Process,
  state: SagaState,
  untilMs: number,
): Thread<Observation | null> {
  const { pollMs, pollMaxMs } = world.termsFor(process.asked);
  for (let pauseMs = Math.min(pollMs * 32, pollMaxMs); ; pauseMs = Math.min(pauseMs * 1.5, pollMaxMs)) {
    if (rests(world, process, state)) return null;
    const result = yield* byEngine(world, process, () =>
      lookActivity(world, process.asked.id, state.stage === 'review'),
    );
    if (result && (isDecided(result) || world.nowMs >= untilMs)) return { kind: 'looked', result };
    yield* sleep(process, state, pauseMs);
    if (isWoken(state, process.news)) return yield* whatCameMeanwhile(world, process, state);
  }
}

function isDecided(result: LookResult): boolean {
  switch (result.kind) {
    case 'landed':
    case 'rejected':
    case 'unknownStatus':
    case 'cannotTell':
    case 'otherAmount':
    case 'notSent':
    case 'awaitsVotes':
    case 'awaitsPerson':
      return true;
    case 'processing':
    case 'unclear':
    case 'absent':
    case 'unavailable':
      return false;
    default:
      return assertNever(result);
  }
}

/** How the approval stands the ledger itself says. */
function* whatCameMeanwhile(world: World, process: Process, state: SagaState): Thread<Observation> {
  const seen = afterWait(state, process.news);
  return seen ?? { kind: 'approval', standing: yield* standingOf(world, process) };
}

function* standingOf(world: World, { asked }: Process): Thread<ApprovalStanding> {
  const { books } = world;
  return yield* inLedger(world, () => approvalStanding(books, refundOf(books, asked.id)));
}

function* sleep(process: Process, state: SagaState, ms: number): Thread {
  process.paused = true;
  process.asleepIn = state;
  if (!isWoken(state, process.news)) {
    checkSleep(state, process.heard);
    yield ms;
  }
  process.asleepIn = null;
}

/** Some looks in the quiet and honest world have not brought it out of review: a person must. */
function rests(world: World, process: Process, state: SagaState): boolean {
  if (state.stage !== 'review' || !world.isOver()) return false;
  process.looksAtRest += 1;
  return process.looksAtRest > LOOKS_AT_REST;
}

/** Whoever holds the lane waits for a person, so this one does too, unless its window ends before. */
function waitsBehindReview(world: World, { asked }: Process, state: SagaState): boolean {
  const { laneHolder } = world.books;
  return (
    state.stage === 'waiting' &&
    state.wait?.reason === 'queued' &&
    asked.submitBeforeMs === null &&
    laneHolder !== asked.id &&
    world.restsInReview(laneHolder)
  );
}

function closed(world: World, refundId: string, closing: Closing): Observation {
  if (closing.kind === 'refused') return { kind: 'closingRefused' };
  world.act('wake', waking(world, closing.wakeRefundId), 0);
  return { kind: 'closed', status: refundOf(world.books, refundId).status };
}

function* nothing(): Thread {
  yield 0;
}
