import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '../ledger/database.js';
import { holdLease } from '../ledger/leases.js';

/** What one worker at a time does for all of them. */
export interface UpkeepTask {
  readonly name: string;
  readonly everyMs: number;
  /** Safe to repeat, and to run in two processes at once. What it throws is logged, and it is tried again. */
  readonly run: () => Promise<void>;
}

export interface UpkeepDeps {
  readonly db: Database;
  readonly nowMs: () => number;
  readonly log: { warn(fields: Record<string, unknown>, message: string): void };
}

/** A holder that died is followed by another this much later at the latest. */
const LEASE_MS = 9_000;
const RENEW_EVERY_MS = LEASE_MS / 3;

/** Runs each task at once and then at its pace, in whichever worker holds the lease, until the signal. */
export async function keepUp(
  deps: UpkeepDeps,
  tasks: readonly UpkeepTask[],
  signal: AbortSignal,
): Promise<void> {
  const holder = randomUUID();
  await Promise.all(tasks.map((task) => repeat(deps, task, holder, signal)));
}

/** Each task has a lease of its own: a slow one delays no other. */
async function repeat(
  deps: UpkeepDeps,
  task: UpkeepTask,
  holder: string,
  signal: AbortSignal,
): Promise<void> {
  let dueAtMs = -Infinity;
  const hold = (): Promise<boolean> =>
    holdLease(deps.db, { name: task.name, holder, forMs: LEASE_MS, nowMs: deps.nowMs() });
  while (!signal.aborted) {
    try {
      const nowMs = deps.nowMs();
      const held = await hold();
      // Whoever takes over can't know when it was done last.
      if (!held) dueAtMs = -Infinity;
      else if (nowMs >= dueAtMs) {
        await whileHolding(hold, task.run);
        dueAtMs = nowMs + task.everyMs;
      }
    } catch (error) {
      deps.log.warn({ err: error, task: task.name }, 'upkeep failed and is tried again');
    }
    const pauseMs = Math.min(RENEW_EVERY_MS, task.everyMs);
    await delay(pauseMs, undefined, { signal }).catch(() => undefined);
  }
}

/** A long task keeps its lease; one renewal that fails is no reason to stop, as all of it is safe to do twice. */
async function whileHolding(hold: () => Promise<boolean>, run: () => Promise<void>): Promise<void> {
  const renewing = setInterval(() => void hold().catch(() => undefined), RENEW_EVERY_MS);
  try {
    await run();
  } finally {
    clearInterval(renewing);
  }
}
