import { randomUUID } from 'node:crypto';
import { Client, type Connection } from '@temporalio/client';
import { msToTs, tsToMs } from '@temporalio/common/lib/time.js';
import proto, { type temporal } from '@temporalio/proto';

/** What a dev server needs to be told before a workflow may skip time. */
export const TIME_MAY_BE_SKIPPED: Readonly<Record<string, string>> = {
  'frontend.WorkflowTimeSkippingEnabled': 'true',
  'history.timerProcessorMaxTimeShift': '"10ms"',
};

/**
 * A client whose workflows never wait: as soon as nothing is in flight, their clock jumps to the next timer. The SDK
 * has no option for it, so it is put into the requests. Only the workflow's clock moves, at most 200 times; after that
 * it goes on in real time, without a word.
 */
export function clientThatSkipsTime(connection: Connection): Client {
  const service = connection.workflowService;
  const workflowService: unknown = Object.create(service, {
    startWorkflowExecution: {
      value: (request: StartRequest) => service.startWorkflowExecution(skipping(request)),
    },
    signalWithStartWorkflowExecution: {
      value: (request: SignalRequest) => service.signalWithStartWorkflowExecution(skipping(request)),
    },
    executeMultiOperation: {
      value: (request: MultiRequest) =>
        service.executeMultiOperation({
          ...request,
          operations: (request.operations ?? []).map((operation) =>
            operation.startWorkflow
              ? { ...operation, startWorkflow: skipping(operation.startWorkflow) }
              : operation,
          ),
        }),
    },
  });
  return new Client({
    connection: Object.create(connection, { workflowService: { value: workflowService } }) as Connection,
  });
}

/**
 * Moves the clock of one running workflow ahead; there it goes on in real time, and whatever comes next from outside
 * comes at that time. Some 15 ms, and as much again for each timer on the way. What was measured on server 1.32:
 *
 * - Timers on the way fire at their own instants, one after another, and what they start (local and remote activities,
 *   updates that come meanwhile) is done before the clock moves on. One that falls due at the very end may be left.
 * - Pauses between an activity's retries are skipped too: one that fails on and on takes the clock with it.
 * - Without a worker the clock stops at the first timer, since its workflow task is in flight; with one it goes on.
 * - May be repeated; one that comes before the last has arrived takes its place. However the workflow was started.
 * - Not across continue-as-new: a run that goes on within a real second of its start pauses before the next one's first
 *   task, and skipping that pause moves the clock by all that was skipped before, once more.
 *
 * @throws Error when the workflow ends on the way (`startSkipping` is for that), or after 20 s.
 */
export async function fastForward(client: Client, workflowId: string, durationMs: number): Promise<void> {
  const id = randomUUID();
  await setSkipping(client, workflowId, {
    fastForwardConfig: { id, duration: msToTs(durationMs) },
    maxSessionSkipCount: SKIPS_PER_FAST_FORWARD,
  });
  const outcome = await client.workflowService.pollWorkflowExecutionTimeSkipping({
    namespace: client.options.namespace,
    workflowExecution: { workflowId },
    fastForwardId: id,
  });
  if (outcome.fastForwardPollingResult !== COMPLETED) {
    throw new Error(`${workflowId} was not fast-forwarded: ${outcome.failedReason || 'still on its way'}`);
  }
}

/** From now on a running workflow never waits, as if `clientThatSkipsTime` had started it. */
export async function startSkipping(client: Client, workflowId: string): Promise<void> {
  await setSkipping(client, workflowId, {});
}

/** What `Date.now()` is in a workflow. */
export async function workflowNowMs(client: Client, workflowId: string): Promise<number> {
  const { workflowExtendedInfo } = await client.workflowService.describeWorkflowExecution({
    namespace: client.options.namespace,
    execution: { workflowId },
  });
  const currentTime = workflowExtendedInfo?.timeSkippingInfo?.currentTime;
  return currentTime ? tsToMs(currentTime) : Date.now();
}

const { FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_COMPLETED: COMPLETED } =
  proto.temporal.api.enums.v1.FastForwardPollingResult;

/** The server's own limit is 200; 1,000 of them take as long as it answers a poll, 20 s. */
const SKIPS_PER_FAST_FORWARD = 1_000;

type SkippingConfig = temporal.api.workflow.v1.IWorkflowExecutionOptions['timeSkippingConfig'];

async function setSkipping(client: Client, workflowId: string, config: SkippingConfig): Promise<void> {
  await client.workflowService.updateWorkflowExecutionOptions({
    namespace: client.options.namespace,
    workflowExecution: { workflowId },
    updateMask: { paths: ['time_skipping_config'] },
    workflowExecutionOptions: { timeSkippingConfig: { enabled: true, ...config } },
  });
}

type StartRequest = temporal.api.workflowservice.v1.IStartWorkflowExecutionRequest;
type SignalRequest = temporal.api.workflowservice.v1.ISignalWithStartWorkflowExecutionRequest;
type MultiRequest = temporal.api.workflowservice.v1.IExecuteMultiOperationRequest;

function skipping<Request extends StartRequest | SignalRequest>(request: Request): Request {
  return { ...request, timeSkippingConfig: { enabled: true } };
}
