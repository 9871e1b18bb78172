import { WorkflowIdConflictPolicy, WorkflowIdReusePolicy } from '@temporalio/common';
import { defineSignal } from '@temporalio/workflow';
import type { DeliveryLine } from '../activities/interface.js';
import { REFUND_TASK_QUEUE, type Envelope } from './messages.js';

export const DELIVERY_WORKFLOW_TYPE = 'delivery';
/** Other people's endpoints may be slow: nothing else waits on their queue. */
export const OUTBOUND_TASK_QUEUE = 'estorno/outbound';

export function deliveryWorkflowId({ endpointId, subject }: DeliveryLine): string {
  return `delivery/${endpointId}/${subject}`;
}

export type DeliveryWorkflow = (start: Envelope<DeliveryLine>) => Promise<void>;

/** Something is to be delivered; asked for by hand, it ends a pause too. Whoever starts the workflow calls as well. */
export const deliverNowSignal = defineSignal<[Envelope<DeliveryCall>]>('deliverNow');

export interface DeliveryCall {
  readonly endsPause: boolean;
}

/** What the client takes to start it and to call it. */
interface DeliveryOptions {
  readonly workflowId: string;
  readonly taskQueue: string;
  readonly args: [Envelope<DeliveryLine>];
  readonly signal: typeof deliverNowSignal;
  readonly signalArgs: [Envelope<DeliveryCall>];
  readonly workflowIdConflictPolicy: WorkflowIdConflictPolicy;
  readonly workflowIdReusePolicy: WorkflowIdReusePolicy;
  readonly staticSummary: string;
}

/** One line, one workflow: it is what keeps the versions of a refund in order. */
export function deliveryOptions(line: DeliveryLine, call: DeliveryCall): DeliveryOptions {
  return {
    workflowId: deliveryWorkflowId(line),
    taskQueue: REFUND_TASK_QUEUE,
    args: [{ body: line }],
    signal: deliverNowSignal,
    signalArgs: [{ body: call }],
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    staticSummary: 'Deliver news to a webhook endpoint',
  };
}
