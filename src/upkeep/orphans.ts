import { isGrpcServiceError, type Client, type RawWorkflowExecutionInfo } from '@temporalio/client';
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowIdConflictPolicy,
  WorkflowNotFoundError,
} from '@temporalio/common';
import {
  REFUND_TASK_QUEUE,
  REFUND_WORKFLOW_TYPE,
  refundWorkflowId,
  type RefundWorkflow,
} from '../../workflows/messages.js';
import { resumeOptions, type OpenRefund } from '../../workflows/start-options.js';
import type { Database } from '../ledger/database.js';
import { openRefunds } from '../ledger/open-refunds.js';

const PAGE_SIZE = 500;
const RUNS_PAGE_SIZE = 1_000;
const AT_ONCE = 20;
/** A run in trouble for so long, as two sweeps have seen it, does not go on by itself. A little less than their pace. */
export const STUCK_AFTER_MS = 50_000;
/** Ours begin at once; continuing as new may take the engine a second. */
const BEGINS_WITHIN_MS = 60_000;
const STATUS_RUNNING = 1;
const GRPC_NOT_FOUND = 5;
const RUNNING = `ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '${refundWorkflowId('')}'`;

export interface Sweep {
  /**
   * By run id, since when the sweeps of this process have seen it fail; kept from one sweep to the next. The engine
   * does not tell: the times of a failing task are those of its last attempt, and signals take its count back. Whoever
   * sweeps next begins anew, which costs a minute.
   */
  readonly troubledSinceMs: Map<string, number>;
  readonly nowMs: number;
  /** Told as it goes on, since a sweep over many may end half-way. */
  readonly onResumed: (refundIds: readonly string[]) => void;
  readonly onEnded: (run: Pick<Run, 'workflowId' | 'runId'>, why: string) => void;
}

/**
 * Gives every open refund that lacks one a run that goes on from the ledger: its workflow isn't running (terminated, lost
 * with Temporal's database), can't go on (a history restored under live workers, code that no longer fits it), or isn't
 * the refund's at all, but something that was started by hand under its id. Those two are ended.
 * Safe to repeat and to run twice at once: a workflow that runs well is left as it is.
 * @returns the refunds for which a run was started. @throws where the engine or the ledger does not answer.
 */
export async function resumeOrphans(
  db: Database,
  client: Client,
  {
    troubledSinceMs = new Map(),
    nowMs = Date.now(),
    onResumed = () => undefined,
    onEnded = () => undefined,
  }: Partial<Sweep> = {},
): Promise<readonly string[]> {
  const sweep: Sweep = { troubledSinceMs, nowMs, onResumed, onEnded };
  const going = await goingWorkflowIds(client, sweep);
  const all: string[] = [];
  for await (const page of openRefunds(db, PAGE_SIZE)) {
    const orphans = page.filter(({ id }) => !going.has(refundWorkflowId(id)));
    await inBatches(orphans, async (batch) => {
      const started = await Promise.all(batch.map((refund) => takeUp(client, refund, sweep)));
      const resumed = batch.filter((_, at) => started[at]).map(({ id }) => id);
      if (resumed.length > 0) onResumed(resumed);
      all.push(...resumed);
    });
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

/** Those that run well, as the engine's visibility shows them, which may lag by seconds. Ends what is stuck. */
async function goingWorkflowIds(client: Client, sweep: Sweep): Promise<ReadonlySet<string>> {
  const runs = await runsShown(client, sweep.nowMs);
  const stuck = stuckAmong(runs, sweep);
  await inBatches(stuck, (batch) => Promise.all(batch.map((run) => endIfStillTroubled(client, run, sweep))));
  const going = new Set(runs.map(({ workflowId }) => workflowId));
  for (const { workflowId } of [...stuck, ...runs.filter((run) => !run.isOurs)]) going.delete(workflowId);
  return going;
}

/** Not by the client's own list: it throws at what it can't decode, and anybody may write a memo. */
async function runsShown(client: Client, nowMs: number): Promise<Run[]> {
  const runs: Run[] = [];
  let nextPageToken: Uint8Array = new Uint8Array();
  do {
    const page = await client.workflowService.listWorkflowExecutions({
      namespace: client.options.namespace,
      query: RUNNING,
      pageSize: RUNS_PAGE_SIZE,
      nextPageToken,
    });
    runs.push(...page.executions.map((info) => runOf(info, nowMs)));
    nextPageToken = page.nextPageToken;
  } while (nextPageToken.length > 0);
  return runs;
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
    if (isGrpcServiceError(error) && (error.code as number) === GRPC_NOT_FOUND) return null;
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
  all: readonly T[],
  run: (batch: readonly T[]) => Promise<unknown>,
): Promise<void> {
  for (let at = 0; at < all.length; at += AT_ONCE) await run(all.slice(at, at + AT_ONCE));
}
