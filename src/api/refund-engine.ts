import {
  isGrpcServiceError,
  WithStartWorkflowOperation,
  type Client,
  type ConnectionLike,
} from '@temporalio/client';
import { WorkflowNotFoundError, type UpdateDefinition } from '@temporalio/common';
import type {
  AdmissionVerdict,
  CancelMessage,
  CancelVerdict,
  ExtensionMessage,
  ExtensionVerdict,
  Handled,
  PaymentReconciliationStart,
  PersonsMessage,
  RefundStart,
  Resolution,
  ResolutionVerdict,
  VoteMessage,
  VoteVerdict,
} from '../../activities/interface.js';
import {
  admissionUpdate,
  cancelUpdate,
  extendUpdate,
  hintSignal,
  PAYMENT_RECONCILIATION_WORKFLOW_TYPE,
  readAgainSignal,
  RECONCILIATION_WORKFLOW_TYPE,
  REFUND_WORKFLOW_TYPE,
  refundWorkflowId,
  resolveUpdate,
  voteUpdate,
  type Envelope,
  type PaymentReconciliationWorkflow,
  type ReconciliationWorkflow,
  type RefundWorkflow,
} from '../../workflows/messages.js';
import {
  paymentReconciliationOptions,
  reconciliationOptions,
  refundStartOptions,
  resumeOptions,
  type OpenRefund,
  type RefundHints,
} from '../../workflows/start-options.js';
import { crowdOf } from './crowd.js';
import { watchForSilence } from './silence.js';

/** What the front door asks of the process engine, and no more. */
export interface RefundEngine {
  /**
   * Starts the refund's workflow, or finds it, and waits for its first verdict.
   * @throws EngineFailure when no verdict came in time: whether the refund is admitted is then unknown.
   */
  requestRefund(start: Envelope<RefundStart>, hints: RefundHints): Promise<AdmissionVerdict>;
  /** Starts the process of an open refund where none runs; a running one is left as it is. @throws EngineFailure */
  keepRunning(refund: OpenRefund): Promise<void>;
  /** Hands a person's decision to the refund's process, which is started where none runs. @throws EngineFailure */
  resolve(refund: OpenRefund, resolution: Envelope<Resolution>): Promise<ResolutionVerdict>;
  /** The same for a vote, for more time, and for its end by a person. @throws EngineFailure */
  vote(refund: OpenRefund, message: Envelope<VoteMessage>): Promise<Handled<VoteVerdict>['verdict']>;
  extend(
    refund: OpenRefund,
    message: Envelope<ExtensionMessage>,
  ): Promise<Handled<ExtensionVerdict>['verdict']>;
  cancel(refund: OpenRefund, message: Envelope<CancelMessage>): Promise<Handled<CancelVerdict>['verdict']>;
  /** Tells a running refund to look at its provider soon. @throws EngineFailure */
  hint(refundId: string, source: 'webhook' | 'refresh'): Promise<void>;
  /** Starts the process of a reconciliation that has its row; a running one is left as it is. @throws EngineFailure */
  reconcile(reconciliationId: string): Promise<void>;
  /** There may be news of a payment: it is read soon, once more where a reading is under way. @throws EngineFailure */
  reconcilePayment(payment: PaymentReconciliationStart): Promise<void>;
  /** False where the engine does not answer. Never throws. */
  ready(): Promise<boolean>;
}

export class EngineFailure extends Error {
  constructor(
    /** `busy`: too many requests wait for the verdict on this very refund. */
    readonly kind: 'busy' | 'unavailable',
    cause: unknown,
  ) {
    super(`the engine gave no verdict (${kind})`, { cause });
    this.name = 'EngineFailure';
  }
}

const VERDICT_WITHIN_MS = 8_000;
/** On two cores, that admit some twenty a second, the last of them is still answered in time. */
const VERDICTS_AWAITED_MAX = 128;
/** Longer than a verdict takes that waits for its provider (3 s). */
const SILENT_AFTER_MS = 5_000;
const HINT_WITHIN_MS = 4_000;
const READY_WITHIN_MS = 2_000;
const GRPC_NOT_FOUND = 5;
const GRPC_RESOURCE_EXHAUSTED = 8;

export function createRefundEngine(client: Client): RefundEngine {
  const askWhileAnswered = watchForSilence({
    silentAfterMs: SILENT_AFTER_MS,
    isAnswer: (error) => error instanceof EngineFailure && error.kind === 'busy',
  });
  const unlessCrowded = crowdOf(VERDICTS_AWAITED_MAX);
  const awaitVerdict = <T>(call: () => Promise<T>) =>
    askWhileAnswered(() => withinDeadline(client.connection, VERDICT_WITHIN_MS, call));
  return {
    requestRefund: (start, hints) =>
      unlessCrowded(() =>
        awaitVerdict(() =>
          client.workflow.executeUpdateWithStart(admissionUpdate, {
            args: [{ body: { fingerprint: start.body.fingerprint } }],
            // One a request: an update id that repeats would answer without comparing the bodies.
            updateId: start.body.askId,
            startWorkflowOperation: new WithStartWorkflowOperation<RefundWorkflow>(
              REFUND_WORKFLOW_TYPE,
              refundStartOptions(start, hints),
            ),
          }),
        ),
      ),
    keepRunning: async (refund) => {
      await withinDeadline(client.connection, HINT_WITHIN_MS, () =>
        client.workflow.start<RefundWorkflow>(REFUND_WORKFLOW_TYPE, resumeOptions(refund)),
      );
    },
    resolve: (refund, message) => tell(client, awaitVerdict, resolveUpdate, refund, message),
    vote: (refund, message) => tell(client, awaitVerdict, voteUpdate, refund, message),
    extend: (refund, message) => tell(client, awaitVerdict, extendUpdate, refund, message),
    cancel: (refund, message) => tell(client, awaitVerdict, cancelUpdate, refund, message),
    hint: async (refundId, source) => {
      try {
        await withinDeadline(client.connection, HINT_WITHIN_MS, () =>
          client.workflow.getHandle(refundWorkflowId(refundId)).signal(hintSignal, { body: { source } }),
        );
      } catch (error) {
        // A workflow that is over needs no hint.
        if (!isOver(error)) throw error;
      }
    },
    reconcile: async (reconciliationId) => {
      await withinDeadline(client.connection, HINT_WITHIN_MS, () =>
        client.workflow.start<ReconciliationWorkflow>(
          RECONCILIATION_WORKFLOW_TYPE,
          reconciliationOptions(reconciliationId),
        ),
      );
    },
    reconcilePayment: async (payment) => {
      await withinDeadline(client.connection, HINT_WITHIN_MS, () =>
        client.workflow.signalWithStart<PaymentReconciliationWorkflow, [Envelope<Record<string, never>>]>(
          PAYMENT_RECONCILIATION_WORKFLOW_TYPE,
          {
            ...paymentReconciliationOptions(payment),
            signal: readAgainSignal,
            signalArgs: [{ body: {} }],
          },
        ),
      );
    },
    ready: async () => {
      try {
        await withinDeadline(client.connection, READY_WITHIN_MS, () =>
          client.workflowService.describeNamespace({ namespace: client.options.namespace }),
        );
        return true;
      } catch {
        return false;
      }
    },
  };
}

/** Hands a person's message to the refund's process, which is started where none runs. */
function tell<Verdict, Message extends PersonsMessage>(
  client: Client,
  awaitVerdict: (call: () => Promise<Verdict>) => Promise<Verdict>,
  update: UpdateDefinition<Verdict, [Envelope<Message>]>,
  refund: OpenRefund,
  message: Envelope<Message>,
): Promise<Verdict> {
  return awaitVerdict(() =>
    client.workflow.executeUpdateWithStart(update, {
      args: [message],
      // One a request: whoever asks again after a refusal is to be judged anew. The ledger knows repeats.
      updateId: message.body.nonce,
      startWorkflowOperation: new WithStartWorkflowOperation<RefundWorkflow>(
        REFUND_WORKFLOW_TYPE,
        resumeOptions(refund),
      ),
    }),
  );
}

async function withinDeadline<T>(
  connection: ConnectionLike,
  timeoutMs: number,
  call: () => Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  // Connecting for the first time is not under the call's own deadline.
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new EngineFailure('unavailable', 'no answer in time')), timeoutMs);
  });
  try {
    return await Promise.race([connection.withDeadline(Date.now() + timeoutMs, call), tooLate]);
  } catch (error) {
    if (error instanceof EngineFailure) throw error;
    throw new EngineFailure(isTooManyUpdates(error) ? 'busy' : 'unavailable', error);
  } finally {
    clearTimeout(timer);
  }
}

function isTooManyUpdates(error: unknown): boolean {
  return causes(error).some(
    (cause) => grpcCodeOf(cause) === GRPC_RESOURCE_EXHAUSTED && /update/i.test(cause.message),
  );
}

function isOver(error: unknown): boolean {
  return causes(error).some(
    (cause) => grpcCodeOf(cause) === GRPC_NOT_FOUND || cause instanceof WorkflowNotFoundError,
  );
}

function grpcCodeOf(error: Error): number | null {
  return isGrpcServiceError(error) ? error.code : null;
}

function causes(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let link = error; link instanceof Error && chain.length < 10; link = link.cause) chain.push(link);
  return chain;
}
