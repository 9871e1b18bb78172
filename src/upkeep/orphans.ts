import { isGrpcServiceError, type Client } from '@temporalio/client';
import { REFUND_WORKFLOW_TYPE, refundWorkflowId, type RefundWorkflow } from '../../workflows/messages.js';
import { resumeOptions } from '../../workflows/start-options.js';
import type { Database } from '../ledger/database.js';
import { openRefunds } from '../ledger/open-refunds.js';

const PAGE_SIZE = 500;
const STARTS_AT_ONCE = 20;
/** A run whose workflow task has failed for so long does not go on by itself. */
const STUCK_AFTER_MS = 60_000;
const RUNNING = `WorkflowType = '${REFUND_WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'`;
const GRPC_INVALID_ARGUMENT = 3;

/**
 * Gives every open refund whose workflow isn't running (terminated, lost with Temporal's database), or runs and can't
 * go on (a history restored under live workers, code that no longer fits it), a run that goes on from the ledger.
 * Safe to repeat and to run twice at once: a workflow that runs well is left as it is.
 * @returns the refunds for which a run was asked. @throws where the engine or the ledger does not answer.
 */
export async function resumeOrphans(
  db: Database,
  client: Client,
  { stuckAfterMs = STUCK_AFTER_MS, nowMs = Date.now() } = {},
): Promise<readonly string[]> {
  const ended = await endStuckRuns(client, nowMs - stuckAfterMs);
  const running = await runningWorkflowIds(client);
  const asked: string[] = [];
  for await (const page of openRefunds(db, PAGE_SIZE)) {
    const orphans = page.filter(({ id }) => {
      const workflowId = refundWorkflowId(id);
      return !running.has(workflowId) || ended.has(workflowId);
    });
    for (let at = 0; at < orphans.length; at += STARTS_AT_ONCE) {
      const batch = orphans.slice(at, at + STARTS_AT_ONCE);
      await Promise.all(
        batch.map((refund) =>
          client.workflow.start<RefundWorkflow>(REFUND_WORKFLOW_TYPE, resumeOptions(refund)),
        ),
      );
      asked.push(...batch.map(({ id }) => id));
    }
  }
  return asked;
}

/** As the engine's visibility shows them, which may lag by seconds: what it does not show yet is only asked for in vain. */
async function runningWorkflowIds(client: Client): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  for await (const { workflowId } of client.workflow.list({ query: RUNNING, pageSize: 1000 })) {
    ids.add(workflowId);
  }
  return ids;
}

/** Nothing is lost with a run: whatever it had done is in the ledger. */
async function endStuckRuns(client: Client, sinceMs: number): Promise<ReadonlySet<string>> {
  const ended = new Set<string>();
  for (const workflowId of await troubledWorkflowIds(client)) {
    const handle = client.workflow.getHandle(workflowId);
    const { raw } = await handle.describe();
    const seconds = Number(raw.pendingWorkflowTask?.originalScheduledTime?.seconds ?? Infinity);
    const isFailing = (raw.pendingWorkflowTask?.attempt ?? 0) > 1;
    if (!isFailing || seconds * 1_000 > sinceMs) continue;
    await handle.terminate('It can not go on: its refund is taken up again from the ledger.');
    ended.add(workflowId);
  }
  return ended;
}

/** Those whose workflow task fails again and again. An older server does not tell: it knows no such attribute. */
async function troubledWorkflowIds(client: Client): Promise<readonly string[]> {
  const query = `${RUNNING} AND TemporalReportedProblems IS NOT NULL`;
  const ids: string[] = [];
  try {
    for await (const { workflowId } of client.workflow.list({ query })) ids.push(workflowId);
  } catch (error) {
    const isUnknown = isGrpcServiceError(error) && (error.code as number) === GRPC_INVALID_ARGUMENT;
    if (!isUnknown) throw error;
  }
  return ids;
}
