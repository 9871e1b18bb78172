import { setTimeout as pause } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import { REFUND_WORKFLOW_TYPE, refundIdOf, refundWorkflowId } from '../workflows/messages.js';
import { openRefundIds } from './books.js';
import type { Dice } from './dice.js';
import { retried } from './retries.js';
import type { Site } from './site.js';

export interface Losses {
  /** Workflows of refunds under way that somebody terminated. */
  readonly terminated: number;
  /** Refunds that were open when Temporal's database was wiped. */
  readonly orphaned: number;
  /** From the wipe until the last of them ran again, or had ended. */
  readonly takenUpMs: number;
}

/**
 * Workflows get lost: a few are terminated one by one, then all of them with Temporal's database.
 * @throws where one of them is not taken up within `TAKEN_UP_WITHIN_MS`.
 */
export async function loseWorkflows(site: Site, dice: Dice, forMs: number): Promise<Losses> {
  let terminated = 0;
  for (let round = 0; round < TERMINATIONS; round += 1) {
    await pause(forMs / TERMINATIONS);
    if (await retried(() => terminateOne(site, dice), REACHED_WITHIN_MS)) terminated += 1;
  }
  // Killed or frozen, it belongs to whoever brings it back.
  while (!site.isUp('temporal')) await pause(LOOK_EVERY_MS);
  const wipedAtMs = Date.now();
  await site.wipeTemporal();
  const orphans = await openRefundIds(site.databaseUrl);
  await retried(async () => {
    const open = new Set(await openRefundIds(site.databaseUrl));
    const running = new Set(await runningRefundIds(site));
    const lost = orphans.filter((id) => open.has(id) && !running.has(id));
    if (lost.length > 0) throw new Error(`nobody took up ${lost.join(', ')}`);
  }, TAKEN_UP_WITHIN_MS);
  return { terminated, orphaned: orphans.length, takenUpMs: Date.now() - wipedAtMs };
}

const TERMINATIONS = 8;
const REACHED_WITHIN_MS = 30_000;
/** The sweep's minute, a dead holder's lease, and a server that is killed meanwhile. */
const TAKEN_UP_WITHIN_MS = 100_000;
const LOOK_EVERY_MS = 50;

/** False where none is running. */
async function terminateOne(site: Site, dice: Dice): Promise<boolean> {
  const [first, ...rest] = await runningRefundIds(site);
  if (first === undefined) return false;
  const refundId = dice.pick([first, ...rest]);
  return withClient(site, async (client) => {
    await client.workflow.getHandle(refundWorkflowId(refundId)).terminate('the lab');
    return true;
  });
}

async function runningRefundIds(site: Site): Promise<string[]> {
  const query = `WorkflowType = '${REFUND_WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'`;
  return withClient(site, async (client) => {
    const ids: string[] = [];
    for await (const { workflowId } of client.workflow.list({ query })) {
      ids.push(refundIdOf(workflowId) ?? '');
    }
    return ids.sort();
  });
}

async function withClient<T>(site: Site, work: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: site.temporalAddress, connectTimeout: 2_000 });
  try {
    return await connection.withDeadline(Date.now() + 5_000, () => work(new Client({ connection })));
  } finally {
    await connection.close();
  }
}
