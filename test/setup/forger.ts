import { randomUUID } from 'node:crypto';
import type { WorkflowHandle, WorkflowStartOptions } from '@temporalio/client';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import type { RefundStart } from '../../activities/interface.js';
import { openPayload } from '../../src/sealing/sealed-payload.js';
import { REFUND_TASK_QUEUE, refundWorkflowId, type Envelope } from '../../workflows/messages.js';
import { until } from './eventually.js';
import type { Service } from './service.js';

/** As Temporal carries it: whoever writes one by hand is held to no type. */
export interface Message {
  readonly body: Readonly<Record<string, unknown>>;
  readonly proof?: unknown;
}

/**
 * What anybody can do to a refund who reaches Temporal, and nothing else: while unsealed payloads are accepted, and with the
 * histories open before them.
 */
export interface Forger {
  handleOf(refundId: string, runId?: string): WorkflowHandle;
  /** An Update, with whatever in it. */
  tell(refundId: string, name: string, message: unknown): Promise<unknown>;
  start(refundId: string, options: Partial<WorkflowStartOptions>): Promise<void>;
  /** The first message of this kind, as the history shows it. */
  messageOf(refundId: string, name: string): Promise<Message>;
  startOf(refundId: string): Promise<Envelope<RefundStart>>;
  /** Answers a step in its worker's place, as soon as it is asked for. */
  complete(refundId: string, activity: string, result: object): Promise<void>;
  respondTo(refundId: string, activityId: string, result: object): Promise<void>;
  /** As `temporal workflow reset` does, to each workflow task of the run that is there now. */
  resetToEach(refundId: string, then: () => Promise<unknown>): Promise<void>;
}

export function forgerAt(service: Service): Forger {
  const { client } = service;
  const handleOf: Forger['handleOf'] = (refundId, runId) =>
    client.workflow.getHandle(refundWorkflowId(refundId), runId);
  const eventsOf = async (refundId: string, runId?: string) =>
    (await handleOf(refundId, runId).fetchHistory()).events ?? [];
  const respondTo: Forger['respondTo'] = async (refundId, activityId, result) => {
    await client.workflowService.respondActivityTaskCompletedById({
      namespace: client.options.namespace,
      workflowId: refundWorkflowId(refundId),
      activityId,
      result: { payloads: [defaultPayloadConverter.toPayload(result)] },
    });
  };
  return {
    handleOf,
    respondTo,
    tell: (refundId, name, message) =>
      handleOf(refundId).executeUpdate<unknown, [unknown]>(name, { args: [message] }),
    start: async (refundId, options) => {
      const workflowId = refundWorkflowId(refundId);
      await client.workflow.start('refund', { taskQueue: REFUND_TASK_QUEUE, ...options, workflowId });
    },
    messageOf: async (refundId, name) => {
      const inputs = (await eventsOf(refundId)).map(
        (event) => event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest?.input,
      );
      const payload = inputs.find((input) => input?.name === name)?.args?.payloads?.[0];
      return contentOf(service, payload) as Message;
    },
    startOf: async (refundId) => {
      const [started] = await eventsOf(refundId);
      const payload = started?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0];
      return contentOf(service, payload) as Envelope<RefundStart>;
    },
    complete: (refundId, activity, result) =>
      until(async () => {
        const { raw } = await handleOf(refundId).describe();
        const pending = raw.pendingActivities?.find(({ activityType }) => activityType?.name === activity);
        if (pending) await respondTo(refundId, pending.activityId!, result);
        return pending !== undefined;
      }),
    resetToEach: async (refundId, then) => {
      const workflowId = refundWorkflowId(refundId);
      const { runId } = await handleOf(refundId).describe();
      const tasks = (await eventsOf(refundId, runId)).filter(
        (event) => event.workflowTaskCompletedEventAttributes,
      );
      if (tasks.length < 2) throw new Error('that is nothing to go back to');
      for (const { eventId } of tasks) {
        await client.workflowService.resetWorkflowExecution({
          namespace: client.options.namespace,
          workflowExecution: { workflowId, runId },
          workflowTaskFinishEventId: eventId!,
          requestId: randomUUID(),
          reason: 'a test',
        });
        await then();
      }
    },
  };
}

/** Of what the service has written into Temporal, as whoever has its key reads it. */
export function contentOf({ config }: Service, payload: Payload | null | undefined): unknown {
  const opened = openPayload(payload ?? {}, config.payloadKeys ?? { keys: [] });
  if (opened.kind !== 'opened') throw new Error(`a payload of the service is ${opened.kind}`);
  return defaultPayloadConverter.fromPayload(opened.payload);
}

/** Steps that do not begin before they are released. */
export interface Holdable {
  /** For the workers. */
  readonly before: (activity: string, refundId: string) => Promise<void>;
  /** @returns what releases it. */
  readonly hold: (activity: string, refundId: string) => () => void;
  readonly releaseAll: () => void;
}

export function holdable(): Holdable {
  const held = new Map<string, { readonly opened: Promise<void>; readonly open: () => void }>();
  return {
    before: async (activity, refundId) => held.get(`${activity} ${refundId}`)?.opened,
    hold: (activity, refundId) => {
      const step = `${activity} ${refundId}`;
      let open = (): void => undefined;
      const opened = new Promise<void>((resolve) => {
        open = resolve;
      });
      held.set(step, { opened, open });
      return () => {
        held.delete(step);
        open();
      };
    },
    releaseAll: () => {
      for (const { open } of held.values()) open();
      held.clear();
    },
  };
}
