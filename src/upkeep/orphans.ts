import { isGrpcServiceError, type Client, type RawWorkflowExecutionInfo } from '@temporalio/client';
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowIdConflictPolicy,
  WorkflowNotFoundError,
} from '@temporalio/common';
import {
  REFUND_TASK_QUEUE,
  REFUND_WORKFLOW_TYPE,
  refundIdOf,
  refundWorkflowId,
  type RefundWorkflow,
} from '../../workflows/messages.js';
import { resumeOptions, type OpenRefund } from '../../workflows/start-options.js';
import type { Database } from '../ledger/database.js';
import { countOpenRefunds, openAmong, openRefundIds } from '../ledger/open-refunds.js';

const RUNS_PAGE_SIZE = 1_000;
const AT_ONCE = 20;
/** A run in trouble for so long, as two sweeps have seen it, does not go on by itself. A little less than their pace. */
export const STUCK_AFTER_MS = 50_000;
/** Ours begin at once; continuing as new may take the engine a second. */
const BEGINS_WITHIN_MS = 60_000;
/** A comparison that took a second is followed by the next one twenty seconds later at the earliest. */
const COMPARED_AFTER_TIMES = 20;
/** However long one takes, and also where both sides count the same: what runs too much may hide what is missing. */
const COMPARED_EVERY_MS = 3_600_000;
const ENGINE_ANSWERS_WITHIN_MS = 30_000;
const STATUS_RUNNING = 1;
const GRPC_INVALID_ARGUMENT = 3;
const GRPC_NOT_FOUND = 5;
const RUNNING = `ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '${refundWorkflowId('')}'`;
const OF_OURS = `WorkflowType = '${REFUND_WORKFLOW_TYPE}' AND TaskQueue = '${REFUND_TASK_QUEUE}'`;
const IN_TROUBLE = 'TemporalReportedProblems IS NOT NULL';

/** When one process compared everything last, and how long that took; kept from one sweep to the next. */
export interface Pace {
  comparedAtMs: number;
  tookMs: number;
}

export interface Sweep {
  /**
   * By run id, since when the sweeps of this process have seen it fail; kept from one sweep to the next. The engine
   * does not tell: the times of a failing task are those of its last attempt, and signals take its count back. Whoever
   * sweeps next begins anew, which costs a minute.
   */
  readonly troubledSinceMs: Map<string, number>;
  /** Without one, everything is compared. */
  readonly pace: Pace;
  readonly nowMs: number;
  /** Told as it goes on, since a sweep over many may end half-way. */
  readonly onResumed: (refundIds: readonly string[]) => void;
  readonly onEnded: (run: Pick<Run, 'workflowId' | 'runId'>, why: string) => void;
}

/**
 * Gives every open refund that lacks one a run that goes on from the ledger: its workflow isn't running (terminated, lost
 * with Temporal's database), can't go on (a history restored under live workers, code that no longer fits it), or isn't
 * the refund's at all, but something that was started by hand under its id. Those two are ended.
 * What is stuck is found each time; what is missing, by counting each time and by comparing all of it when the counts
 * differ, or at times: with very many open refunds that is long work, and takes a small part of the time.
 * Safe to repeat and to run twice at once: a workflow that runs well is left as it is.
 * @returns the refunds for which a run was started. @throws where the engine or the ledger does not answer.
 */
export async function resumeOrphans(
  db: Database,
  client: Client,
  {
    troubledSinceMs = new Map(),
    pace = { comparedAtMs: -Infinity, tookMs: 0 },
    nowMs = Date.now(),
    onResumed = () => undefined,
    onEnded = () => undefined,
  }: Partial<Sweep> = {},
): Promise<readonly string[]> {
  const sweep: Sweep = { troubledSinceMs, pace, nowMs, onResumed, onEnded };
  const freed = await takeUpAll(db, client, await endStuck(client, sweep), sweep);
  if (!(await isComparisonDue(db, client, sweep))) return freed;
  return [...freed, ...(await takeUpAll(db, client, await compare(db, client, sweep), sweep))];
}

/** @returns the refunds whose runs were stuck. */
async function endStuck(client: Client, sweep: Sweep): Promise<readonly string[]> {
  const stuck = stuckAmong(await runsInTrouble(client, sweep.nowMs), sweep);
  await inBatches(client, stuck, (run) => endIfStillTroubled(client, run, sweep));
  return stuck.flatMap(({ workflowId }) => refundIdOf(workflowId) ?? []);
}

async function runsInTrouble(client: Client, nowMs: number): Promise<readonly Run[]> {
  const runs: Run[] = [];
  try {
    for await (const page of runsShown(client, `${RUNNING} AND ${IN_TROUBLE}`, nowMs)) runs.push(...page);
  } catch (error) {
    // An older server does not know that attribute.
    if (!hasCode(error, GRPC_INVALID_ARGUMENT)) throw error;
  }
  return runs;
}

async function isComparisonDue(db: Database, client: Client, { pace, nowMs }: Sweep): Promise<boolean> {
  // Absolute: a clock that was wrong must not put it off.
  const sinceMs = Math.abs(nowMs - pace.comparedAtMs);
  if (sinceMs >= COMPARED_EVERY_MS) return true;
  if (sinceMs < pace.tookMs * COMPARED_AFTER_TIMES) return false;
  const begun = `ExecutionTime <= '${new Date(nowMs + BEGINS_WITHIN_MS).toISOString()}'`;
  const { count } = await inTime(client, () =>
    client.workflow.count(`${RUNNING} AND ${OF_OURS} AND ${begun}`),
  );
  return count !== (await countOpenRefunds(db));
}

/** @returns the open refunds of which visibility, which may lag by seconds, shows no run that goes on. */
async function compare(db: Database, client: Client, { pace, nowMs }: Sweep): Promise<readonly string[]> {
  const fromMs = performance.now();
  const going = new Set<string>();
  for await (const page of runsShown(client, RUNNING, nowMs)) {
    for (const { workflowId, isOurs } of page) if (isOurs) going.add(workflowId);
  }
  const orphans = (await openRefundIds(db)).filter((id) => !going.has(refundWorkflowId(id)));
  pace.comparedAtMs = nowMs;
  pace.tookMs = performance.now() - fromMs;
  return orphans;
}

async function takeUpAll(
  db: Database,
  client: Client,
  refundIds: readonly string[],
  sweep: Sweep,
): Promise<readonly string[]> {
  const all: string[] = [];
  for (let at = 0; at < refundIds.length; at += AT_ONCE) {
    const refunds = await openAmong(db, refundIds.slice(at, at + AT_ONCE));
    const started = await inTime(client, () =>
      Promise.all(refunds.map((refund) => takeUp(client, refund, sweep))),
    );
    const resumed = refunds.filter((_, index) => started[index]).map(({ id }) => id);
    if (resumed.length > 0) sweep.onResumed(resumed);
    all.push(...resumed);
  }
  return all;
}

interface Run {
  readonly workflowId: string;
  readonly runId: string;
  /** It is of our kind, where our workers take it, and not held back. */
  readonly isOurs: boolean;
  /** Its last workflow tasks failed, several in a row. An older server does not tell. */
  readonly isTroubled: boolean;
}

/** Not by the client's own list: it throws at what it can't decode, and anybody may write a memo. */
async function* runsShown(client: Client, query: string, nowMs: number): AsyncGenerator<Run[]> {
  let nextPageToken: Uint8Array = new Uint8Array();
  do {
    const asked = { namespace: client.options.namespace, query, pageSize: RUNS_PAGE_SIZE, nextPageToken };
    const page = await inTime(client, () => client.workflowService.listWorkflowExecutions(asked));
    yield page.executions.map((info) => runOf(info, nowMs));
    nextPageToken = page.nextPageToken;
  } while (nextPageToken.length > 0);
}

function runOf(info: RawWorkflowExecutionInfo, nowMs: number): Run {
  const startMs = Number(info.startTime?.seconds ?? 0) * 1_000;
  const beginsMs = Number(info.executionTime?.seconds ?? 0) * 1_000;
  const isOurKind = info.type?.name === REFUND_WORKFLOW_TYPE && info.taskQueue === REFUND_TASK_QUEUE;
  // By a pause, or by a delay or a schedule that was given with its start.
  const isHeldBack =
    (info.status as number) !== STATUS_RUNNING || beginsMs > Math.max(startMs, nowMs) + BEGINS_WITHIN_MS;
  return {
    workflowId: info.execution?.workflowId ?? '',
    runId: info.execution?.runId ?? '',
    isOurs: isOurKind && !isHeldBack,
    isTroubled: 'TemporalReportedProblems' in (info.searchAttributes?.indexedFields ?? {}),
  };
}

function stuckAmong(runs: readonly Run[], { troubledSinceMs, nowMs }: Sweep): Run[] {
  const troubled = runs.filter(({ isOurs, isTroubled }) => isOurs && isTroubled);
  const runIds = new Set(troubled.map(({ runId }) => runId));
  for (const runId of troubledSinceMs.keys()) if (!runIds.has(runId)) troubledSinceMs.delete(runId);
  for (const runId of runIds) if (!troubledSinceMs.has(runId)) troubledSinceMs.set(runId, nowMs);
  return troubled.filter(({ runId }) => (troubledSinceMs.get(runId) ?? nowMs) <= nowMs - STUCK_AFTER_MS);
}

async function endIfStillTroubled(client: Client, run: Run, sweep: Sweep): Promise<void> {
  const now = await openRun(client, run.workflowId, sweep.nowMs);
  if (now?.runId === run.runId && now.isTroubled) await end(client, run, STUCK, sweep);
}

const STUCK = 'It can not go on: its refund is taken up again from the ledger.';
const FOREIGN =
  'It holds the id of a refund, and is no run of it that goes on: that one is taken up from the ledger.';

/** @returns whether a run was started; one that runs, and that visibility did not show yet, is left as it is. */
async function takeUp(client: Client, refund: OpenRefund, sweep: Sweep): Promise<boolean> {
  if (await start(client, refund)) return true;
  const run = await openRun(client, refundWorkflowId(refund.id), sweep.nowMs);
  if (run?.isOurs) return false;
  if (run) await end(client, run, FOREIGN, sweep);
  return start(client, refund);
}

async function start(client: Client, refund: OpenRefund): Promise<boolean> {
  try {
    await client.workflow.start<RefundWorkflow>(REFUND_WORKFLOW_TYPE, {
      ...resumeOptions(refund),
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
    });
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}

/** What holds the id right now, whatever visibility shows. */
async function openRun(client: Client, workflowId: string, nowMs: number): Promise<Run | null> {
  try {
    const { workflowExecutionInfo: info } = await client.workflowService.describeWorkflowExecution({
      namespace: client.options.namespace,
      execution: { workflowId },
    });
    return info && !info.closeTime ? runOf(info, nowMs) : null;
  } catch (error) {
    if (hasCode(error, GRPC_NOT_FOUND)) return null;
    throw error;
  }
}

/** Nothing is lost with a run: whatever it had done is in the ledger. */
async function end(client: Client, { workflowId, runId }: Run, why: string, sweep: Sweep): Promise<void> {
  try {
    // By its run id: another sweep may have put the refund's own in its place.
    await client.workflow.getHandle(workflowId, runId).terminate(why);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return;
    throw error;
  }
  sweep.onEnded({ workflowId, runId }, why);
}

async function inBatches<T>(
  client: Client,
  all: readonly T[],
  run: (each: T) => Promise<unknown>,
): Promise<void> {
  for (let at = 0; at < all.length; at += AT_ONCE) {
    await inTime(client, () => Promise.all(all.slice(at, at + AT_ONCE).map(run)));
  }
}

/** Each part of its own: all of them together may take minutes. */
function inTime<T>(client: Client, ask: () => Promise<T>): Promise<T> {
  return client.withDeadline(Date.now() + ENGINE_ANSWERS_WITHIN_MS, ask);
}

function hasCode(error: unknown, code: number): boolean {
  return isGrpcServiceError(error) && (error.code as number) === code;
}
