/** What comes to a refund's workflow from outside while it runs, and when that is news to it. */
import {
  CancellationScope,
  condition,
  getExternalWorkflowHandle,
  proxyActivities,
  setHandler,
} from '@temporalio/workflow';
import { ApplicationFailure } from '@temporalio/common';
import type { ApprovalStanding, Observation, SagaState } from '../src/domain/saga-state.js';
import type {
  AdmissionVerdict,
  Handled,
  MessageActivities,
  PersonsMessage,
  Received,
  Resolution,
  ResolutionVerdict,
} from '../activities/interface.js';
import { MESSAGE_STEP } from './activity-options.js';
import {
  admissionUpdate,
  cancelUpdate,
  extendUpdate,
  hintSignal,
  refundWorkflowId,
  resolveUpdate,
  retrySignal,
  stageQuery,
  voteUpdate,
  type Envelope,
  type Start,
} from './messages.js';
import { isHandled } from './told.js';

const messages = proxyActivities<MessageActivities>(MESSAGE_STEP);

/** What has come in from outside since somebody last asked. */
export interface News {
  verdict: AdmissionVerdict | undefined;
  hint: 'webhook' | 'refresh' | null;
  /** The hint that the next look follows; null: it follows the timer. */
  heeded: 'webhook' | 'refresh' | null;
  /** What stood in the way may be gone. */
  mayRetry: boolean;
  /** A person's message says that it is not as this run believes. */
  isDoubted: boolean;
  /** What people's messages have made of the approval, or of the refund; the newest word. */
  approval: ApprovalStanding | null;
  /** What persons decided and nobody has carried out yet, oldest first. */
  readonly resolutions: AskedResolution[];
  queuedBehind: string | null;
}

interface AskedResolution {
  readonly message: Envelope<Resolution>;
  verdict: ResolutionVerdict | undefined;
}

export function noNews(verdict: AdmissionVerdict | undefined): News {
  return {
    verdict,
    hint: null,
    heeded: null,
    mayRetry: false,
    isDoubted: false,
    approval: null,
    resolutions: [],
    queuedBehind: null,
  };
}

export function listen(start: Start, news: News, stage: () => SagaState['stage']): void {
  const verdict = (): AdmissionVerdict | undefined => news.verdict;
  const admitted = async ({ body }: Envelope<{ fingerprint: string }>): Promise<AdmissionVerdict> => {
    // At once where it is known: a handler that waits beside a ledger step may end elsewhere in a replay.
    if (!verdict()) {
      // Handlers run outside the workflow's own scope: without one of theirs a cancel request would reach them.
      await CancellationScope.nonCancellable(() => condition(() => news.verdict !== undefined));
    }
    const known = verdict() as AdmissionVerdict;
    // A run that resumed knows no request: its verdict sends the asker to the ledger, which compares. And what somebody
    // else began by hand says nothing about this key.
    const isOther = !('resume' in start.body) && body.fingerprint !== start.body.fingerprint;
    return isOther && known.kind !== 'unproven' ? { kind: 'keyReused' } : known;
  };
  setHandler(admissionUpdate, admitted, {
    validator: ({ body }: Envelope<{ fingerprint: string }>) => {
      requireTexts([body.fingerprint]);
    },
  });
  setHandler(hintSignal, (message: unknown) => {
    const source = hintOf(message);
    // A webhook outranks a refresh as the source of what the next look finds.
    if (source && news.hint !== 'webhook') news.hint = source;
  });
  setHandler(retrySignal, () => {
    news.mayRetry = true;
  });
  const resolved = async (message: Envelope<Resolution>): Promise<ResolutionVerdict> => {
    if (stage() === 'admitting') {
      await CancellationScope.nonCancellable(() => condition(() => stage() !== 'admitting'));
    }
    if (stage() !== 'review') {
      // The ledger may know of a review that this run has not heard of: a look tells, or the ledger itself.
      news.mayRetry = true;
      news.isDoubted = true;
      return { kind: 'notInReview' };
    }
    const asked: AskedResolution = { message, verdict: undefined };
    news.resolutions.push(asked);
    await CancellationScope.nonCancellable(() => condition(() => asked.verdict !== undefined));
    return asked.verdict as ResolutionVerdict;
  };
  setHandler(resolveUpdate, resolved, { validator: requireShape });
  listenToPeople(start.body.refundId, news);
  setHandler(stageQuery, stage);
}

/** The ledger judges a message at once, whatever the refund is doing; the refund goes on from what it says. */
function listenToPeople(refundId: string, news: News): void {
  const validator = { validator: requireShape };
  const received = <Message>(message: Envelope<Message>): Received<Message> => ({
    refundId,
    message,
    nowMs: Date.now(),
  });
  setHandler(
    voteUpdate,
    (message) =>
      handled(news, () =>
        messages.castVote.executeWithOptions({ ...MESSAGE_STEP, summary: 'A vote' }, [received(message)]),
      ),
    validator,
  );
  setHandler(
    extendUpdate,
    (message) =>
      handled(news, () =>
        messages.extendApproval.executeWithOptions(
          { ...MESSAGE_STEP, summary: 'Another end of the approval' },
          [received(message)],
        ),
      ),
    validator,
  );
  setHandler(
    cancelUpdate,
    (message) =>
      handled(news, () =>
        messages.cancelRefund.executeWithOptions({ ...MESSAGE_STEP, summary: 'Cancel' }, [received(message)]),
      ),
    validator,
  );
}

async function handled<Verdict>(
  news: News,
  handle: () => Promise<Handled<Verdict>>,
): Promise<Handled<Verdict>['verdict']> {
  const told = await CancellationScope.nonCancellable(handle);
  if (!isHandled(told)) {
    throw ApplicationFailure.nonRetryable('what came of the message is not known', 'Untold');
  }
  const { verdict, standing, wakeRefundId } = told;
  // Two messages may be told of in another order than they were judged in.
  if (standing && standing.version >= (news.approval?.version ?? 0)) news.approval = standing;
  await wake(wakeRefundId);
  return verdict;
}

const TEXT_MAX = 256;
/** Twice what the front door takes as a body. */
const MESSAGE_MAX = 128 * 1024;

/** Shape alone: whether it is the front door's, and what it may do, is for the ledger step to say. */
function requireShape(message: Envelope<PersonsMessage>): void {
  // What can't be written down again would fail the step that it is handed to, and the run with it.
  if (JSON.stringify(message).length > MESSAGE_MAX) throw malformed();
  const { body } = message;
  requireTexts([body.refundId, body.actor, body.nonce, body.requestId, body.contentHash]);
}

/** Whoever writes a message by hand is held to no type; in a validator every error is a refusal, and leaves no trace. */
function requireTexts(texts: readonly unknown[]): void {
  if (!texts.every((text) => typeof text === 'string' && text.length <= TEXT_MAX)) {
    throw malformed();
  }
}

function malformed(): ApplicationFailure {
  return ApplicationFailure.nonRetryable('not a message that a refund understands', 'MalformedMessage');
}

/** A signal can't be refused, and one that can't be read must not stop the refund. */
function hintOf(message: unknown): News['hint'] {
  const source = (message as { body?: { source?: unknown } } | null | undefined)?.body?.source;
  return source === 'webhook' || source === 'refresh' ? source : null;
}

/** What a person decided was about the review that is over. */
export function dismissResolutions({ resolutions }: News): void {
  for (const asked of resolutions.splice(0)) asked.verdict = { kind: 'notInReview' };
}

/** Before anything is sent a hint is no news; after that, whatever the provider may have to show is. */
export function isWoken(state: SagaState, news: News): boolean {
  if (concerns(state, news.approval)) return true;
  if (state.stage === 'approving') return news.isDoubted || isHinted(state, news);
  if (news.mayRetry) return true;
  if (state.stage === 'waiting') return false;
  return news.hint !== null || (state.stage === 'review' && news.resolutions.length > 0);
}

/** What to go on with after a wait, null where the ledger is to say how the approval stands; the news is taken. */
export function afterWait(state: SagaState, news: News): Observation | null {
  const hinted = isHinted(state, news);
  const isToAsk = concerns(state, news.approval) || (state.stage === 'approving' && news.isDoubted);
  heed(news);
  news.mayRetry = false;
  news.isDoubted = false;
  news.approval = null;
  if (isToAsk) return null;
  if (state.stage === 'approving' && hinted) return { kind: 'hinted' };
  return { kind: state.stage === 'review' && news.resolutions.length > 0 ? 'resolutionAsked' : 'paused' };
}

/** Takes the hint, so that one hint wakes one pause. */
export function heed(news: News): News['heeded'] {
  news.heeded = news.hint ?? news.heeded;
  news.hint = null;
  return news.heeded;
}

export async function wake(refundId: string | null): Promise<void> {
  if (refundId === null) return;
  try {
    await getExternalWorkflowHandle(refundWorkflowId(refundId)).signal(retrySignal, { body: {} });
  } catch {
    // It has ended or is lost; whoever waits asks again by timer.
  }
}

/** That people ended it concerns every stage; how its approval stands, the wait for it alone. */
function concerns({ stage, approval }: SagaState, standing: ApprovalStanding | null): boolean {
  if (!standing) return false;
  if (standing.state === 'closed') return true;
  return stage === 'approving' && standing.version > (approval?.wait.version ?? 0);
}

/** While people decide about sending it again, what was sent before may show up. */
function isHinted({ stage, attempt }: SagaState, { hint, mayRetry }: News): boolean {
  return stage === 'approving' && attempt > 0 && (hint !== null || mayRetry);
}
