import type { Client } from '@temporalio/client';
import {
  DELIVERY_WORKFLOW_TYPE,
  deliveryOptions,
  type DeliveryCall,
  type DeliveryWorkflow,
} from '../../workflows/delivery-messages.js';
import type { Envelope } from '../../workflows/messages.js';
import type { Database } from '../ledger/database.js';
import { takeDueLines, type DueLine } from '../ledger/deliveries.js';
import { forgetOldNews } from '../ledger/old-news.js';
import { cancelForDisabled } from '../ledger/webhook-endpoints.js';

const DUE_AT_ONCE = 500;
const STARTED_AT_ONCE = 20;

const FORGOTTEN_AT_ONCE = 1_000;
const FORGETTING_ROUNDS_MAX = 50;

/** Gives every line of outbound webhooks that is due a workflow that delivers it. Safe to repeat: one a line runs. */
export async function startDeliveries(db: Database, client: Client, nowMs: number): Promise<void> {
  await cancelForDisabled(db);
  const lines = await takeDueLines(db, nowMs, DUE_AT_ONCE);
  const failures: unknown[] = [];
  for (let at = 0; at < lines.length; at += STARTED_AT_ONCE) {
    const started = await Promise.allSettled(
      lines.slice(at, at + STARTED_AT_ONCE).map((line) => startDelivery(client, line)),
    );
    // Those that come behind are taken as well, and must not wait for their next turn.
    failures.push(...started.flatMap((each) => (each.status === 'rejected' ? [each.reason as unknown] : [])));
  }
  if (failures.length > 0) throw failures[0];
}

async function startDelivery(client: Client, { endpointId, subject, endsPause }: DueLine): Promise<void> {
  await client.workflow.signalWithStart<DeliveryWorkflow, [Envelope<DeliveryCall>]>(
    DELIVERY_WORKFLOW_TYPE,
    deliveryOptions({ endpointId, subject }, { endsPause }),
  );
}

/** A part at a time: what is left is forgotten next time. */
export async function forgetDeliveries(db: Database, nowMs: number): Promise<void> {
  for (let round = 0; round < FORGETTING_ROUNDS_MAX; round += 1) {
    if (!(await forgetOldNews(db, nowMs, FORGOTTEN_AT_ONCE))) return;
  }
}
