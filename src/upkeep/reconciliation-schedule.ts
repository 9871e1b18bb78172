import {
  ScheduleAlreadyRunning,
  ScheduleOverlapPolicy,
  type Client,
  type ScheduleOptions,
} from '@temporalio/client';
import type { Policy } from '../domain/policy.js';
import { RECONCILIATION_WORKFLOW_TYPE, REFUND_TASK_QUEUE } from '../../workflows/messages.js';

export const RECONCILIATION_SCHEDULE_ID = 'estorno-reconciliation';

/** When banks are quiet and the day's refunds have settled. */
const HOUR = 3;
/** An engine that was away at the hour runs it once when it is back, unless most of the night is over. */
const CATCHUP_WINDOW = '6h';

/**
 * Makes sure that the nightly reconciliation is scheduled, at its hour in the policy's time zone. Safe to repeat, and
 * for many workers at once. @throws where the engine does not answer.
 */
export async function ensureReconciliationSchedule(
  client: Client,
  { timeZone }: Pick<Policy['window'], 'timeZone'>,
): Promise<void> {
  const wanted = scheduleIn(timeZone);
  const schedule = client.schedule.getHandle(RECONCILIATION_SCHEDULE_ID);
  try {
    await client.schedule.create(wanted);
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    const { spec } = await schedule.describe();
    const isCurrent = spec.timezone === timeZone && spec.calendars?.[0]?.hour[0]?.start === HOUR;
    // Whether it is paused stays as an operator left it.
    if (!isCurrent) await schedule.update((running) => ({ ...wanted, state: running.state }));
  }
}

function scheduleIn(timeZone: string): ScheduleOptions {
  return {
    scheduleId: RECONCILIATION_SCHEDULE_ID,
    spec: { calendars: [{ hour: HOUR, minute: 0 }], timezone: timeZone },
    action: {
      type: 'startWorkflow',
      workflowType: RECONCILIATION_WORKFLOW_TYPE,
      workflowId: 'reconciliation/nightly',
      taskQueue: REFUND_TASK_QUEUE,
      args: [{ body: { reconciliationId: null } }],
    },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCHUP_WINDOW },
  };
}
