import type { Client } from '@temporalio/client';
import { REFUND_WORKFLOW_TYPE, refundWorkflowId, type RefundWorkflow } from '../../workflows/messages.js';
import { resumeOptions } from '../../workflows/start-options.js';
import type { Database } from '../ledger/database.js';
import { openRefunds } from '../ledger/open-refunds.js';

const PAGE_SIZE = 500;
const STARTS_AT_ONCE = 20;

/**
 * Gives every open refund whose workflow isn't running (terminated, lost with Temporal's database) a run that goes on
 * from the ledger. Safe to repeat and to run twice at once: a running workflow is left as it is.
 * @returns the refunds for which a run was asked. @throws where the engine or the ledger does not answer.
 */
export async function resumeOrphans(db: Database, client: Client): Promise<readonly string[]> {
  const running = await runningWorkflowIds(client);
  const asked: string[] = [];
  for await (const page of openRefunds(db, PAGE_SIZE)) {
    const orphans = page.filter(({ id }) => !running.has(refundWorkflowId(id)));
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
  const query = `WorkflowType = '${REFUND_WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'`;
  for await (const { workflowId } of client.workflow.list({ query, pageSize: 1000 })) ids.add(workflowId);
  return ids;
}
