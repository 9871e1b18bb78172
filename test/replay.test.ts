import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DeterminismViolationError } from '@temporalio/workflow';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { workflowBundlePath } from './setup/real-parts.js';

const HISTORIES = join(import.meta.dirname, 'histories');
const RECORDED = readdirSync(HISTORIES).map((file) => file.replace(/\.json$/, ''));

describe('what began under older code', () => {
  beforeAll(() => {
    Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
  });

  it('is represented by each way that a refund can go, and its news', () => {
    expect(RECORDED).toEqual(
      expect.arrayContaining([
        'approved',
        'approved-in-a-second-round',
        'canceled-while-approving',
        'canceled-while-waiting',
        'carried-on-while-approving',
        'clipped-by-the-window',
        'confirmed-after-a-webhook',
        'declined',
        'done-with-the-answer',
        'double-click-beside-a-retried-step',
        'expired',
        'extended',
        'lost-answer-adopted',
        'lost-answer-repeated-under-its-key',
        'lost-call-sent-again',
        'news-delivered',
        'news-resent',
        'provider-down-for-a-while',
        'queued-behind-another',
        'recheck-failed',
        'refused-at-the-door',
        'rejected',
        'reminded-and-escalated',
        'resumed-while-approving',
        'settled-within-the-task',
        'waited-for-balance',
      ]),
    );
  });

  it.each(RECORDED)('goes on under the present code: %s', async (name) => {
    await expect(replay(read(name))).resolves.toBeUndefined();
  });
});

describe('the net that these histories are', () => {
  it('holds where a step is another than the one that was taken', async () => {
    const history = read('done-with-the-answer');
    for (const event of history.events) {
      const scheduled = event.activityTaskScheduledEventAttributes;
      if (scheduled) scheduled.activityType.name = 'charge';
    }
    await expect(replay(history)).rejects.toBeInstanceOf(DeterminismViolationError);
  });

  it('holds where a wait is missing that was made', async () => {
    const history = read('confirmed-after-a-webhook');
    const started = history.events.findIndex((event) => event.timerStartedEventAttributes);
    const waited = history.events[started]!;
    history.events.splice(started, 0, { ...waited, timerStartedEventAttributes: { timerId: '99' } });
    history.events.forEach((event, index) => {
      event.eventId = String(index + 1);
    });
    await expect(replay(history)).rejects.toBeInstanceOf(DeterminismViolationError);
  });

  it('holds where a vote came to something else', async () => {
    const history = read('rejected');
    const told = history.events.findLast((event) => event.markerRecordedEventAttributes)!;
    const [payload] = told.markerRecordedEventAttributes!.details.result.payloads;
    const standing = JSON.parse(Buffer.from(payload.data, 'base64').toString()) as object;
    expect(standing).toMatchObject({ state: 'closed', status: 'rejected' });
    payload.data = Buffer.from(JSON.stringify({ ...standing, state: 'approved' })).toString('base64');
    await expect(replay(history)).rejects.toBeInstanceOf(DeterminismViolationError);
  });

  it('holds where a refund ended otherwise', async () => {
    const history = read('refused-at-the-door');
    const end = history.events.at(-1)!;
    end.eventType = 'EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED';
    end.workflowExecutionCanceledEventAttributes = {};
    delete end.workflowExecutionCompletedEventAttributes;
    await expect(replay(history)).rejects.toBeInstanceOf(DeterminismViolationError);
  });
});

/** Temporal's own JSON, of which only the altered members are named. */
interface RecordedHistory {
  readonly events: RecordedEvent[];
}
interface RecordedEvent {
  eventId: string;
  eventType: string;
  workflowExecutionStartedEventAttributes?: { workflowId: string };
  activityTaskScheduledEventAttributes?: { activityType: { name: string } };
  markerRecordedEventAttributes?: { details: { result: { payloads: [{ data: string }] } } };
  timerStartedEventAttributes?: { timerId: string };
  workflowExecutionCompletedEventAttributes?: object;
  workflowExecutionCanceledEventAttributes?: object;
}

function read(name: string): RecordedHistory {
  return JSON.parse(readFileSync(join(HISTORIES, `${name}.json`), 'utf8')) as RecordedHistory;
}

/** Under the id that it ran under, as a refund looks at it. */
function replay(history: RecordedHistory): Promise<void> {
  return Worker.runReplayHistory(
    { workflowBundle: { codePath: workflowBundlePath() } },
    history,
    history.events[0]?.workflowExecutionStartedEventAttributes?.workflowId,
  );
}
