import { WorkflowIdConflictPolicy, WorkflowIdReusePolicy } from '@temporalio/common';
import { defineSignal } from '@temporalio/workflow';
import type { DeliveryLine } from '../activities/interface.js';
import { REFUND_TASK_QUEUE, type Envelope } from './messages.js';

export const DELIVERY_WORKFLOW_TYPE = 'delivery';
/** Other people's endpoints may be slow: nothing else waits on their queue. */
export const OUTBOUND_TASK_QUEUE = 'estorno/outbound';

export type DeliveryWorkflow = (start: Envelope<DeliveryLine>) => Promise<void>;

/** There is something to deliver now; a pause before another attempt ends. Whoever starts the workflow calls as well. */
export const deliverNowSignal = defineSignal<[Envelope<Record<string, never>>]>('deliverNow');

/** What the client takes to start it and to call it. */
interface DeliveryOptions {
  readonly workflowId: string;
  readonly taskQueue: string;
  readonly args: [Envelope<DeliveryLine>];
  readonly signal: typeof deliverNowSignal;
  readonly signalArgs: [Envelope<Record<string, never>>];
  readonly workflowIdConflictPolicy: WorkflowIdConflictPolicy;
  readonly workflowIdReusePolicy: WorkflowIdReusePolicy;
  readonly staticSummary: string;
}

/** One line, one workflow: it is what keeps the versions of a refund in order. */
export function deliveryOptions(line: DeliveryLine): DeliveryOptions {
  return {
    workflowId: `delivery/${line.endpointId}/${line.subject}`,
    taskQueue: REFUND_TASK_QUEUE,
    args: [{ body: line }],
    signal: deliverNowSignal,
    signalArgs: [{ body: {} }],
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    staticSummary: 'Deliver news to a webhook endpoint',
  };
}
