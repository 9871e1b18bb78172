import {
  ActivityCancellationType,
  ActivityFailure,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { DeliveryActivities, DeliveryLine, DeliverySteps } from '../activities/interface.js';
import { LEDGER_STEP } from './activity-options.js';
import { deliverNowSignal, OUTBOUND_TASK_QUEUE } from './delivery-messages.js';
import type { Envelope } from './messages.js';

const TRIED_FOR_MS = 3 * 86_400_000;

const ledger = proxyLocalActivities<DeliverySteps>(LEDGER_STEP);
const { deliver } = proxyActivities<DeliveryActivities>({
  taskQueue: OUTBOUND_TASK_QUEUE,
  // The endpoint has 10 s. Without heartbeats: so soon a dead worker's attempt is somebody else's.
  startToCloseTimeout: '15s',
  // For what is not the endpoint's doing; after an attempt the ledger says when the next one is due.
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '1m' },
  // An attempt that is on its way is let finish: two at once would be two deliveries.
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
});

/** How often it was called, and the attempt that a call must not wait for. */
interface Calls {
  made: number;
  attempt: CancellationScope | null;
}

/** Delivers what waits for one endpoint about one subject, oldest first, and ends when nothing is left. */
export async function delivery({ body: line }: Envelope<DeliveryLine>, carriedOn = false): Promise<void> {
  const calls: Calls = { made: carriedOn ? 1 : 0, attempt: null };
  setHandler(deliverNowSignal, () => {
    calls.made += 1;
    calls.attempt?.cancel();
  });
  await condition(() => calls.made > 0);
  for (;;) {
    const heard = calls.made;
    const next = await ledger.nextDelivery(line);
    if (next) await deliverInTime(next, calls);
    else if (calls.made === heard) return;
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof delivery>({ body: line }, true);
  }
}

async function deliverInTime(
  { deliveryId, triedForMs }: { deliveryId: string; triedForMs: number },
  calls: Calls,
): Promise<void> {
  const endsAtMs = Date.now() + TRIED_FOR_MS - triedForMs;
  while (Date.now() < endsAtMs) {
    const heard = calls.made;
    if (await attempt(deliveryId, endsAtMs - Date.now(), calls)) return;
    if (calls.made === heard) break;
  }
  await ledger.giveUpDelivery({ deliveryId });
}

/** @returns whether it is over; if not, somebody called meanwhile, or its time is up. */
async function attempt(deliveryId: string, withinMs: number, calls: Calls): Promise<boolean> {
  const heard = calls.made;
  const scope = new CancellationScope();
  calls.attempt = scope;
  try {
    await scope.run(() =>
      deliver.executeWithOptions({ scheduleToCloseTimeout: withinMs, summary: deliveryId }, [{ deliveryId }]),
    );
    return true;
  } catch (error) {
    const isCalled = calls.made > heard;
    if (!(error instanceof ActivityFailure) || (isCancellation(error) && !isCalled)) throw error;
    return false;
  } finally {
    calls.attempt = null;
  }
}
