import type { Client } from '@temporalio/client';
import {
  DELIVERY_WORKFLOW_TYPE,
  deliveryOptions,
  type DeliveryWorkflow,
} from '../../workflows/delivery-messages.js';
import type { Envelope } from '../../workflows/messages.js';
import type { Database } from '../ledger/database.js';
import { takeDueLines } from '../ledger/deliveries.js';

const DUE_AT_ONCE = 500;
const STARTED_AT_ONCE = 20;

/** Gives every line of outbound webhooks that is due a workflow that delivers it. Safe to repeat: one a line runs. */
export async function startDeliveries(db: Database, client: Client, nowMs: number): Promise<void> {
  const lines = await takeDueLines(db, nowMs, DUE_AT_ONCE);
  for (let at = 0; at < lines.length; at += STARTED_AT_ONCE) {
    await Promise.all(
      lines
        .slice(at, at + STARTED_AT_ONCE)
        .map((line) =>
          client.workflow.signalWithStart<DeliveryWorkflow, [Envelope<Record<string, never>>]>(
            DELIVERY_WORKFLOW_TYPE,
            deliveryOptions(line),
          ),
        ),
    );
  }
}
