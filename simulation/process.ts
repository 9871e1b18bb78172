/** One refund's process: the saga decides, this carries out, as workflows/ does. Everything that it runs may be lost. */
import { assertNever } from '../src/domain/errors.js';
import { isOpen } from '../src/domain/refund.js';
import { begin } from '../src/domain/saga.js';
import type { Decision, LookResult, Observation, SagaState, Step } from '../src/domain/saga-state.js';
import { hold } from './invariants.js';
import { submitActivity, lookActivity } from './activities.js';
import { admitRefund } from './ledger/admission.js';
import { attemptsOf } from './ledger/books.js';
import { takeLane } from './ledger/lanes.js';
import { compensateRefund, moveToReview, settleRefund, type Closing } from './ledger/settlement.js';
import { SECOND_MS } from './timings.js';
import type { Actor, Asked, Thread, World } from './world.js';

const STEPS_MAX = 20_000;
const STEPS_BETWEEN_PAUSES_MAX = 40;
const LOOKS_AT_REST = 2;
const ACTIVITY_TRIES_MAX = 6;

export interface Process extends Actor {
  readonly asked: Asked;
  /** Ended, or waiting for a person in a world in which nothing more happens. */
  atRest: boolean;
  news: { hint: boolean; laneFreed: boolean };
  wokenBy: 'hint' | 'laneFreed' | null;
  inFlight: Thread<unknown> | null;
  /** Every decision so far: a reset goes back to one of them. */
  history: Decision[];
  looksAtRest: number;
  /** It has paused since its last step. */
  paused: boolean;
}

export function startProcess(world: World, asked: Asked, inMs: number): Process {
  const process: Process = {
    name: asked.id,
    asked,
    thread: nothing(),
    readyAtMs: world.nowMs + inMs,
    atRest: false,
    news: { hint: false, laneFreed: false },
    wokenBy: null,
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
  process.news = { hint: false, laneFreed: false };
  process.wokenBy = null;
  process.inFlight = null;
  process.history = [];
  process.thread = run(world, process, isReset ? earlier : null);
  process.readyAtMs = world.nowMs + (isReset ? 0 : world.random.upTo(60 * SECOND_MS));
}

export function wake(world: World, process: Process | undefined, by: 'hint' | 'laneFreed'): void {
  if (!process) return;
  process.news[by] = true;
  if (process.wokenBy === by) process.readyAtMs = Math.min(process.readyAtMs, world.nowMs);
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
    process.history.push(decision);
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
      const result = yield* byEngine(world, process, () => lookActivity(world, id));
      return { kind: 'looked', result: result ?? { kind: 'unavailable', retryAfterMs: null } };
    }
    case 'watch':
      return yield* watch(world, process, state, step.untilMs);
    case 'pause': {
      const { pollMaxMs, retryMaxMs } = world.termsFor(process.asked);
      hold(step.ms > 0 && step.ms <= Math.max(pollMaxMs, retryMaxMs), 'a pause has a length and a bound');
      if (waitsBehindReview(world, process, state)) return null;
      yield* pause(process, state.stage === 'waiting' ? 'laneFreed' : 'hint', step.ms);
      return { kind: 'paused' };
    }
    case 'settle':
      return closed(world, yield* inLedger(world, () => settleRefund(books, id, world.nowMs)), 'succeeded');
    case 'compensate':
      return closed(
        world,
        yield* inLedger(world, () => compensateRefund(books, id, step.reason, world.nowMs)),
        'failed',
      );
    case 'review':
      yield* inLedger(world, () => {
        moveToReview(books, id, step.why);
      });
      return { kind: 'reviewed' };
    case 'expire':
    case 'remind':
      throw new Error('nobody votes here');
    case 'resolve':
      throw new Error('nobody resolves a review here');
    default:
      return assertNever(step);
  }
}

function admit(world: World, asked: Asked): Observation {
  const { books } = world;
  const known = books.refunds.find(({ id }) => id === asked.id);
  if (!known) {
    const admitted = admitRefund(books, asked, world.provider.read(world.nowMs), world.nowMs);
    return admitted ? { kind: 'admitted', terms: world.termsFor(asked) } : { kind: 'notAdmitted' };
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
  };
}

/** A local step: a crash after it makes the engine run it once more. */
function* inLedger<Result>(world: World, step: () => Result): Thread<Result> {
  yield world.random.upTo(20);
  const result = step();
  if (!world.storms('ledger step repeated', 0.06)) return result;
  yield world.random.upTo(10 * SECOND_MS);
  return step();
}

/** A remote step: workers die and freeze under it, and a second one may run it too. Null: it was given up. */
function* byEngine<Result>(
  world: World,
  process: Process,
  activity: () => Thread<Result>,
): Thread<Result | null> {
  for (let tries = 1; tries <= ACTIVITY_TRIES_MAX; tries += 1) {
    if (world.storms('second worker', 0.03)) world.act('second worker', detached(activity()), 0);
    const thread = activity();
    process.inFlight = thread;
    for (;;) {
      const next = thread.next();
      if (next.done) {
        process.inFlight = null;
        if (world.storms('result lost', 0.04)) break;
        return next.value;
      }
      yield next.value;
      if (world.storms('worker killed', 0.03)) break;
      if (world.storms('worker frozen', 0.03)) {
        world.act('zombie', detached(thread), world.random.upTo(world.random.pick([3, 30, 300]) * SECOND_MS));
        break;
      }
    }
    process.inFlight = null;
    if (world.storms('given up by the engine', 0.15)) return null;
    yield world.random.upTo(12 * SECOND_MS);
  }
  return null;
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
    const result = yield* byEngine(world, process, () => lookActivity(world, process.asked.id));
    if (result && (isDecided(result) || world.nowMs >= untilMs)) return { kind: 'looked', result };
    yield* pause(process, 'hint', pauseMs, false);
    if (process.news.hint) return { kind: 'paused' };
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

function* pause(process: Process, by: 'hint' | 'laneFreed', ms: number, heeds = true): Thread {
  process.paused = true;
  process.wokenBy = by;
  if (!process.news[by]) yield ms;
  process.wokenBy = null;
  if (!heeds) return;
  process.news.laneFreed = false;
  process.news.hint = false;
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

function closed(world: World, closing: Closing, status: 'succeeded' | 'failed'): Observation {
  if (closing.kind === 'refused') return { kind: 'closingRefused' };
  world.act('wake', waking(world, closing.wakeRefundId), 0);
  return { kind: 'closed', status };
}

function* waking(world: World, refundId: string | null): Thread {
  yield world.random.upTo(SECOND_MS);
  if (refundId !== null && !world.storms('wake-up lost', 0.1)) world.wakeLane(refundId);
}

function* detached(thread: Thread<unknown>): Thread {
  for (let next = thread.next(); !next.done; next = thread.next()) yield next.value;
}

function* nothing(): Thread {
  yield 0;
}
