import {
  ApplicationFailure,
  condition,
  defineSignal,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
} from '@temporalio/workflow';
import type { Activities, Refund } from './activities.js';

export const confirmed = defineSignal('confirmed');

const remote = proxyActivities<Activities>({ startToCloseTimeout: '10 seconds' });
const local = proxyLocalActivities<Activities>({ startToCloseTimeout: '10 seconds' });

/** Every step is an activity: a task of its own. */
export async function bareSaga(refund: Refund): Promise<void> {
  await saga(refund, remote);
}

/** Every step runs within the workflow task, as is advised for short ones. */
export async function bareLocalSaga(refund: Refund): Promise<void> {
  await saga(refund, local);
}

async function saga(refund: Refund, activities: Activities): Promise<void> {
  let isConfirmed = false;
  setHandler(confirmed, () => {
    isConfirmed = true;
  });

  const { refundableMinor } = await activities.load(refund.paymentId);
  if (refund.amountMinor > refundableMinor) {
    throw ApplicationFailure.nonRetryable('the payment has less left');
  }
  await activities.reserve(refund);
  try {
    await activities.callProvider(refund);
    if (!(await condition(() => isConfirmed, '2 days'))) {
      throw ApplicationFailure.nonRetryable('the provider did not confirm in time');
    }
  } catch (error) {
    await activities.release(refund.id);
    throw error;
  }
  await activities.settle(refund.id);
}
