import { Client, type Connection } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';

/** What a dev server needs to be told before a workflow may skip time. */
export const TIME_MAY_BE_SKIPPED: Readonly<Record<string, string>> = {
  'frontend.WorkflowTimeSkippingEnabled': 'true',
  'history.timerProcessorMaxTimeShift': '"10ms"',
};

/**
 * A client whose workflows never wait: as soon as nothing is in flight, their clock jumps to the next timer. The SDK
 * has no option for it, so it is put into the requests. Only the workflow's clock moves, at most 200 times a run.
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

type StartRequest = temporal.api.workflowservice.v1.IStartWorkflowExecutionRequest;
type SignalRequest = temporal.api.workflowservice.v1.ISignalWithStartWorkflowExecutionRequest;
type MultiRequest = temporal.api.workflowservice.v1.IExecuteMultiOperationRequest;

function skipping<Request extends StartRequest | SignalRequest>(request: Request): Request {
  return { ...request, timeSkippingConfig: { enabled: true } };
}
