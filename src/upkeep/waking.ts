import { WorkflowNotFoundError } from '@temporalio/common';
import type { Client } from '@temporalio/client';
import { refundWorkflowId, retrySignal } from '../../workflows/messages.js';
import type { Database } from '../ledger/database.js';
import { dueParked } from '../ledger/provider-gates.js';

const AT_ONCE_MAX = 100;
/** Whoever has not moved by then was not reached, or is out of its turn still. */
const AGAIN_AFTER_MS = 3_000;

/**
 * Wakes what was parked while a provider was down or paused, earliest deadline first, as soon as the gate lets each of
 * them through. A signal that gets lost costs time alone: every refund also asks again by its own timer.
 */
export function createWaker(
  db: Database,
  client: Client,
  providers: readonly string[],
  nowMs: () => number,
): () => Promise<void> {
  const wokenAtMs = new Map<string, number>();
  return async () => {
    const now = nowMs();
    for (const [id, atMs] of wokenAtMs) if (now - atMs >= AGAIN_AFTER_MS) wokenAtMs.delete(id);
    for (const provider of providers) {
      const due = await dueParked(db, provider, now, AT_ONCE_MAX);
      // One after another: the order in which they wake is the order in which they go.
      for (const id of due.filter((each) => !wokenAtMs.has(each))) {
        wokenAtMs.set(id, now);
        await wake(client, id);
      }
    }
  };
}

async function wake(client: Client, refundId: string): Promise<void> {
  try {
    await client.workflow.getHandle(refundWorkflowId(refundId)).signal(retrySignal, { body: {} });
  } catch (error) {
    // It has ended, or is an orphan that the sweep takes up.
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}
