/** How steps are run: workers die and freeze under them, results are lost, and what was lost may go on by itself. */
import { SECOND_MS } from './timings.js';
import type { Thread, World } from './world.js';

const ACTIVITY_TRIES_MAX = 6;

/** What a step runs for; it may be lost, and the step goes on. */
export interface Runner {
  inFlight: Thread<unknown> | null;
}

/** A local step: a crash after it makes the engine run it once more. */
export function* inLedger<Result>(world: World, step: () => Result): Thread<Result> {
  yield world.random.upTo(20);
  const result = step();
  if (!world.storms('ledger step repeated', 0.06)) return result;
  yield world.random.upTo(10 * SECOND_MS);
  return step();
}

/** A remote step that is tried until it is done. */
export function* untilDone<Result>(
  world: World,
  runner: Runner,
  activity: () => Thread<Result>,
): Thread<Result> {
  for (;;) {
    const done = yield* byEngine(world, runner, activity);
    if (done !== null) return done;
  }
}

/** A remote step: a second worker may run it too. Null: it was given up. */
export function* byEngine<Result>(
  world: World,
  runner: Runner,
  activity: () => Thread<Result>,
): Thread<Result | null> {
  for (let tries = 1; tries <= ACTIVITY_TRIES_MAX; tries += 1) {
    if (world.storms('second worker', 0.03)) world.act('second worker', detached(activity()), 0);
    const thread = activity();
    runner.inFlight = thread;
    for (;;) {
      const next = thread.next();
      if (next.done) {
        runner.inFlight = null;
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
    runner.inFlight = null;
    if (world.storms('given up by the engine', 0.15)) return null;
    yield world.random.upTo(12 * SECOND_MS);
  }
  return null;
}

export function* waking(world: World, refundId: string | null): Thread {
  yield world.random.upTo(SECOND_MS);
  if (refundId !== null && !world.storms('wake-up lost', 0.1)) world.wakeLane(refundId);
}

export function* detached(thread: Thread<unknown>): Thread {
  for (let next = thread.next(); !next.done; next = thread.next()) yield next.value;
}
