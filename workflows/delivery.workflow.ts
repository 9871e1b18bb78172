import { ApplicationFailure } from '@temporalio/common';
import {
  ActivityCancellationType,
  ActivityFailure,
  CancellationScope,
  condition,
  continueAsNew,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { DeliveryActivities, DeliveryLine, DeliverySteps } from '../activities/interface.js';
import { LEDGER_STEP } from './activity-options.js';
import { deliverNowSignal, deliveryWorkflowId, OUTBOUND_TASK_QUEUE } from './delivery-messages.js';
import type { Envelope } from './messages.js';

const ledger = proxyLocalActivities<DeliverySteps>(LEDGER_STEP);
const { deliver } = proxyActivities<DeliveryActivities>({
  taskQueue: OUTBOUND_TASK_QUEUE,
  // The endpoint has 10 s. Without heartbeats: so soon a dead worker's attempt is somebody else's.
  startToCloseTimeout: '15s',
  // For what is not the endpoint's doing; after an attempt the ledger says when the next one is due, and when to give up.
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '1m' },
  // An attempt that is on its way is let finish: two at once would be two deliveries.
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
});

/** How often it was called, and the attempt whose pauses a call may end. */
interface Calls {
  made: number;
  attempt: CancellationScope | null;
}

/** Delivers what waits for one endpoint about one subject, oldest first, and ends when nothing is left. */
export async function delivery(start: Envelope<DeliveryLine>, carriedOn = false): Promise<void> {
  const line = ownLine(start);
  const calls: Calls = { made: carriedOn ? 1 : 0, attempt: null };
  setHandler(deliverNowSignal, (message: unknown) => {
    calls.made += 1;
    if (bodyOf(message)['endsPause'] === true) calls.attempt?.cancel();
  });
  await condition(() => calls.made > 0);
  for (;;) {
    const heard = calls.made;
    const next = await ledger.nextDelivery(line);
    if (next) await attempt(next.deliveryId, calls);
    else if (calls.made === heard) return;
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof delivery>({ body: line }, true);
  }
}

/** What is started by hand may be anything, and a second run of one line would mix up its order. */
function ownLine(start: unknown): DeliveryLine {
  const { endpointId, subject } = bodyOf(start);
  const isText = typeof endpointId === 'string' && typeof subject === 'string';
  if (isText && deliveryWorkflowId({ endpointId, subject }) === workflowInfo().workflowId) {
    return { endpointId, subject };
  }
  throw ApplicationFailure.nonRetryable(
    'a line is delivered under its own workflow id alone',
    'ForeignWorkflowId',
  );
}

function bodyOf(envelope: unknown): Readonly<Record<string, unknown>> {
  return (envelope as Partial<Envelope<Record<string, unknown>>> | null | undefined)?.body ?? {};
}

/** Tries until the ledger says that it is over, or until a call ends its pause. */
async function attempt(deliveryId: string, calls: Calls): Promise<void> {
  const scope = new CancellationScope();
  calls.attempt = scope;
  try {
    await scope.run(() => deliver.executeWithOptions({ summary: deliveryId }, [{ deliveryId }]));
  } catch (error) {
    if (!(error instanceof ActivityFailure) || !scope.consideredCancelled) throw error;
  } finally {
    calls.attempt = null;
  }
}
