import type { Client, Connection } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Observe } from '../../activities/deps.js';
import type { Database } from '../ledger/database.js';
import { registerSearchAttributes } from '../temporal.js';
import { reconcileContradictions } from './contradictions.js';
import { forgetDeliveries, startDeliveries } from './deliveries.js';
import { resumeOrphans, type Pace, type Sweep } from './orphans.js';
import { ensureReconciliationSchedule } from './reconciliation-schedule.js';
import type { UpkeepTask } from './upkeep.js';
import { createWaker } from './waking.js';

export interface TaskDeps {
  readonly db: Database;
  readonly connection: Connection;
  readonly client: Client;
  readonly providers: readonly string[];
  /** IANA name: whose nights are meant. */
  readonly timeZone: string;
  readonly nowMs: () => number;
  readonly observe: Pick<Observe, 'orphansResumed'>;
  readonly log: Logger;
}

const SWEEP_EVERY_MS = 60_000;
const CONTRADICTIONS_EVERY_MS = 20_000;
const SCHEDULE_EVERY_MS = 600_000;
const WAKE_EVERY_MS = 1_000;
const DELIVERIES_EVERY_MS = 1_000;
const FORGET_EVERY_MS = 60_000;
const ENGINE_ANSWERS_WITHIN_MS = 30_000;

/** Everything that workers do beside refunds. */
export function upkeepTasks(deps: TaskDeps): readonly UpkeepTask[] {
  const { db, client, providers, timeZone, nowMs } = deps;
  const waker = createWaker(db, client, providers, nowMs);
  const troubledSinceMs = new Map<string, number>();
  const pace: Pace = { comparedAtMs: -Infinity, tookMs: 0 };
  return [
    {
      name: 'orphans',
      everyMs: SWEEP_EVERY_MS,
      run: () => sweepOrphans(deps, { troubledSinceMs, pace }),
    },
    {
      name: 'reconciliation-schedule',
      everyMs: SCHEDULE_EVERY_MS,
      run: () => withinReason(deps, () => ensureReconciliationSchedule(client, { timeZone })),
    },
    {
      name: 'contradictions',
      everyMs: CONTRADICTIONS_EVERY_MS,
      run: () => withinReason(deps, () => reconcileContradictions(db, client)),
    },
    { name: 'wake', everyMs: WAKE_EVERY_MS, run: () => withinReason(deps, waker) },
    {
      name: 'deliveries',
      everyMs: DELIVERIES_EVERY_MS,
      run: () => withinReason(deps, () => startDeliveries(db, client, nowMs())),
    },
    { name: 'forget-deliveries', everyMs: FORGET_EVERY_MS, run: () => forgetDeliveries(db, nowMs()) },
  ];
}

async function sweepOrphans(
  deps: TaskDeps,
  seenBefore: Pick<Sweep, 'troubledSinceMs' | 'pace'>,
): Promise<void> {
  const { db, connection, client, nowMs, observe, log } = deps;
  // A server whose database was lost knows neither our attributes nor any run.
  await withinReason(deps, () => registerSearchAttributes(connection, client.options.namespace));
  await resumeOrphans(db, client, {
    ...seenBefore,
    nowMs: nowMs(),
    onEnded: (run, why) => log.warn({ ...run, why }, 'a run that held the id of a refund was ended'),
    onResumed: (refundIds) => {
      observe.orphansResumed(refundIds.length);
      log.warn({ refundIds }, 'open refunds without a run were taken up again');
    },
  });
}

function withinReason<T>({ connection, nowMs }: TaskDeps, task: () => Promise<T>): Promise<T> {
  return connection.withDeadline(nowMs() + ENGINE_ANSWERS_WITHIN_MS, task);
}
