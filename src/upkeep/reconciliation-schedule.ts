import {
  ScheduleAlreadyRunning,
  ScheduleOverlapPolicy,
  type Client,
  type ScheduleDescription,
  type ScheduleOptions,
} from '@temporalio/client';
import type { Policy } from '../domain/policy.js';
import { RECONCILIATION_WORKFLOW_TYPE, REFUND_TASK_QUEUE } from '../../workflows/messages.js';

export const RECONCILIATION_SCHEDULE_ID = 'estorno-reconciliation';

/** When banks are quiet and the day's refunds have settled. */
const HOUR = 3;
/** An engine that was away at the hour runs it once when it is back, unless most of the night is over. */
const CATCHUP_WINDOW_MS = 6 * 3_600_000;

/** Without arguments: a schedule outlives the keys that they would be sealed with. */
const ACTION = {
  type: 'startWorkflow' as const,
  workflowType: RECONCILIATION_WORKFLOW_TYPE,
  workflowId: 'reconciliation/nightly',
  taskQueue: REFUND_TASK_QUEUE,
};
const POLICIES = { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCHUP_WINDOW_MS };

/**
 * Makes sure that the nightly reconciliation is scheduled, at its hour in the policy's time zone, as it was meant to be
 * whoever altered it. Safe to repeat, and for many workers at once. @throws where the engine does not answer.
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
    // Not written without need: an update takes the place of a run that is still to be caught up.
    if (isAsWanted(await schedule.describe(), timeZone)) return;
    // Whether it is paused stays as an operator left it.
    await schedule.update(({ state: { paused, note } }) => ({
      ...wanted,
      state: { paused, ...(note === undefined ? {} : { note }) },
    }));
  }
}

/** As the engine describes what `scheduleIn` asks for. What isn't named here must be empty there. */
function isAsWanted({ spec, action, policies, state }: ScheduleDescription, timezone: string): boolean {
  const from = (start: number | string, end = start) => [{ start, end, step: 1 }];
  const night = {
    second: from(0),
    minute: from(0),
    hour: from(HOUR),
    dayOfMonth: from(1, 31),
    month: from('JANUARY', 'DECEMBER'),
    dayOfWeek: from('SUNDAY', 'SATURDAY'),
  };
  const { remainingActions } = state;
  return (
    stated({ spec, action, policies, remainingActions }) ===
    stated({ spec: { calendars: [night], timezone }, action: ACTION, policies: POLICIES })
  );
}

/** The same text for the same statements: in the order of their names, without those that are empty. */
function stated(value: unknown): string {
  return JSON.stringify(value, (_, of: unknown) => {
    if (typeof of !== 'object' || of === null || Array.isArray(of)) return of;
    const members = Object.entries(of).filter(([, member]) => !isEmpty(member));
    return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function isEmpty(value: unknown): boolean {
  if (typeof value === 'object' && value !== null && !(value instanceof Date)) {
    return Object.values(value).every(isEmpty);
  }
  return value === undefined || value === '' || value === false;
}

function scheduleIn(timeZone: string): ScheduleOptions {
  return {
    scheduleId: RECONCILIATION_SCHEDULE_ID,
    spec: { calendars: [{ hour: HOUR, minute: 0 }], timezone: timeZone },
    action: ACTION,
    policies: POLICIES,
  };
}
