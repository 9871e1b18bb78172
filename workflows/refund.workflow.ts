import {
  ActivityFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { ApplicationFailure, defineSearchAttributeKey } from '@temporalio/common';
import { assertNever } from '../src/domain/errors.js';
import { begin, decide } from '../src/domain/saga.js';
import type { Observation, SagaState, SagaTerms, Step } from '../src/domain/saga-state.js';
import type {
  AdmissionVerdict,
  ClosingResult,
  LedgerActivities,
  ProviderActivities,
  RefundResume,
  RefundStart,
  Resolution,
  ResolutionVerdict,
} from '../activities/interface.js';
import { LEDGER_STEP, providerCall, providerWatch } from './activity-options.js';
import { describeStage } from './details.js';
import {
  admissionUpdate,
  hintSignal,
  refundIdOf,
  refundWorkflowId,
  resolveUpdate,
  retrySignal,
  stageQuery,
  type Envelope,
} from './messages.js';

const ledger = proxyLocalActivities<LedgerActivities>(LEDGER_STEP);
const provider = proxyActivities<ProviderActivities>({ startToCloseTimeout: '5m' });

/** What one run hands to the next when its history grows long. */
export interface CarriedOn {
  readonly state: SagaState;
  readonly verdict: AdmissionVerdict;
}

/** What has come in from outside since somebody last asked. */
interface News {
  verdict: AdmissionVerdict | undefined;
  hint: 'webhook' | 'refresh' | null;
  /** The hint that the next look follows; null: it follows the timer. */
  heeded: 'webhook' | 'refresh' | null;
  /** What stood in the way may be gone. */
  mayRetry: boolean;
  /** What persons decided and nobody has carried out yet, oldest first. */
  readonly resolutions: AskedResolution[];
  queuedBehind: string | null;
}

interface AskedResolution {
  readonly resolution: Resolution;
  verdict: ResolutionVerdict | undefined;
}

type Start = Envelope<RefundStart> | Envelope<RefundResume>;

/**
 * One refund, from the request to its end. Temporal's own cancel request is ignored: it carries no proof of who asks,
 * and would leave a reservation, or money on its way, without its process.
 */
export function refund(start: Start, carried?: CarriedOn): Promise<{ status: string }> {
  if (refundIdOf(workflowInfo().workflowId) !== start.body.refundId) {
    throw ApplicationFailure.nonRetryable(
      'a refund runs under its own workflow id alone',
      'ForeignWorkflowId',
    );
  }
  return CancellationScope.nonCancellable(() => live(start, carried));
}

/** `decide` chooses each step, this carries it out and reports. */
async function live(start: Start, carried?: CarriedOn): Promise<{ status: string }> {
  const news: News = {
    verdict: carried?.verdict,
    hint: null,
    heeded: null,
    mayRetry: false,
    resolutions: [],
    queuedBehind: null,
  };
  let { state, step } = carried
    ? decide(carried.state, { kind: 'paused' }, Date.now())
    : decide(begin(Date.now()), { kind: 'started' }, Date.now());
  listen(start, news, () => state.stage);

  while (step.kind !== 'end') {
    setCurrentDetails(describeStage(state, step, Date.now(), news.queuedBehind));
    const seen = await carryOut(step, start, state, news);
    if (seen.kind === 'paused' && workflowInfo().continueAsNewSuggested) await goOnAnew(start, state, news);
    ({ state, step } = decide(state, seen, Date.now()));
    if (state.stage !== 'review') dismiss(news.resolutions);
  }

  setCurrentDetails(`**Ended: ${step.status}**`);
  showInSearch(step.status, state.terms, start.body.refundId);
  await condition(allHandlersFinished);
  return { status: step.status };
}

async function goOnAnew(start: Start, state: SagaState, { verdict, resolutions }: News): Promise<void> {
  if (!verdict) return;
  await condition(() => allHandlersFinished() || resolutions.length > 0);
  // Whoever waits for a resolution would wait for ever: the next pause will do.
  if (resolutions.length === 0) await continueAsNew<typeof refund>(start, { state, verdict });
}

/** What a person decided was about the review that is over. */
function dismiss(resolutions: AskedResolution[]): void {
  for (const asked of resolutions.splice(0)) asked.verdict = { kind: 'notInReview' };
}

function listen(start: Start, news: News, stage: () => SagaState['stage']): void {
  const verdict = (): AdmissionVerdict | undefined => news.verdict;
  setHandler(admissionUpdate, async ({ body }) => {
    // A run that resumed knows no request: its verdict sends the asker to the ledger, which compares.
    if ('fingerprint' in start.body && body.fingerprint !== start.body.fingerprint) {
      return { kind: 'keyReused' };
    }
    // At once where it is known: a handler that waits beside a ledger step may end elsewhere in a replay.
    const known = verdict();
    if (known) return known;
    // Handlers run outside the workflow's own scope: without one of theirs a cancel request would reach them.
    await CancellationScope.nonCancellable(() => condition(() => news.verdict !== undefined));
    return verdict() as AdmissionVerdict;
  });
  setHandler(hintSignal, ({ body }) => {
    // A webhook outranks a refresh as the source of what the next look finds.
    if (news.hint !== 'webhook') news.hint = body.source;
  });
  setHandler(retrySignal, () => {
    news.mayRetry = true;
  });
  setHandler(resolveUpdate, async ({ body }) => {
    if (stage() === 'admitting') {
      await CancellationScope.nonCancellable(() => condition(() => stage() !== 'admitting'));
    }
    if (stage() !== 'review') {
      // The ledger may know of a review that this run has not heard of: a look tells.
      news.mayRetry = true;
      return { kind: 'notInReview' };
    }
    const asked: AskedResolution = { resolution: body, verdict: undefined };
    news.resolutions.push(asked);
    await CancellationScope.nonCancellable(() => condition(() => asked.verdict !== undefined));
    return asked.verdict as ResolutionVerdict;
  });
  setHandler(stageQuery, stage);
}

async function carryOut(
  step: Exclude<Step, { kind: 'end' }>,
  start: Start,
  state: SagaState,
  news: News,
): Promise<Observation> {
  const { refundId } = start.body;
  switch (step.kind) {
    case 'admit': {
      const admission = await ledger.admit.executeWithOptions(
        { ...LEDGER_STEP, summary: 'Validate and reserve' },
        [start],
      );
      news.verdict = admission.verdict;
      if ('resume' in admission) return { kind: 'resumed', ...admission.resume };
      if ('status' in admission) return { kind: 'closed', status: admission.status };
      return 'terms' in admission ? { kind: 'admitted', terms: admission.terms } : { kind: 'notAdmitted' };
    }
    case 'takeLane': {
      const lane = await ledger.takeLane.executeWithOptions(
        { ...LEDGER_STEP, summary: 'Take the payment’s lane' },
        [{ refundId }],
      );
      news.queuedBehind = lane.kind === 'busy' ? lane.behindRefundId : null;
      return { kind: lane.kind === 'busy' ? 'laneBusy' : 'laneTaken' };
    }
    case 'submit':
      return submit(step.attempt, refundId, termsOf(state));
    case 'look':
      return look(refundId, termsOf(state), news);
    case 'watch':
      return watch(step.untilMs, refundId, state, news);
    case 'pause':
      return pause(step, state, news);
    case 'settle':
      return closed(
        await ledger.settle.executeWithOptions({ ...LEDGER_STEP, summary: 'Settle' }, [{ refundId }]),
      );
    case 'compensate':
      return closed(
        await ledger.compensate.executeWithOptions(
          { ...LEDGER_STEP, summary: `Release the reservation: ${step.reason}` },
          [{ refundId, reason: step.reason }],
        ),
      );
    case 'review':
      await ledger.review.executeWithOptions({ ...LEDGER_STEP, summary: 'Ask for a review' }, [
        { refundId, why: step.why },
      ]);
      return { kind: 'reviewed' };
    case 'resolve':
      return resolve(refundId, termsOf(state), news);
    default:
      return assertNever(step);
  }
}

async function submit(attempt: number, refundId: string, terms: SagaTerms): Promise<Observation> {
  try {
    const { result, wakeRefundId } = await provider.submit.executeWithOptions(
      { ...providerCall(terms), summary: `Refund at ${terms.provider}, attempt ${attempt}` },
      [{ refundId, attempt, nowMs: Date.now() }],
    );
    await wake(wakeRefundId);
    return { kind: 'submitted', result };
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    log.error('the submit activity failed', { attempt });
    return { kind: 'callLost' };
  }
}

async function look(refundId: string, terms: SagaTerms, news: News): Promise<Observation> {
  const source = heed(news) === 'webhook' ? 'webhook' : 'poll';
  news.heeded = null;
  try {
    const result = await provider.look.executeWithOptions(
      { ...providerCall(terms), summary: `Look at ${terms.provider}` },
      [{ refundId, source }],
    );
    return { kind: 'looked', result };
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    return { kind: 'looked', result: { kind: 'unavailable', retryAfterMs: null } };
  }
}

/** Ended by a decision, by its bound, or by a hint, after which a look of our own follows. */
async function watch(untilMs: number, refundId: string, state: SagaState, news: News): Promise<Observation> {
  const terms = termsOf(state);
  const scope = new CancellationScope();
  const watching = scope.run(() =>
    provider.watch.executeWithOptions({ ...providerWatch(terms), summary: `Watch at ${terms.provider}` }, [
      { refundId, untilMs },
    ]),
  );
  const woken = condition(() => isWoken(state, news)).then(() => null);
  try {
    const result = await Promise.race([watching, woken]);
    if (result) return { kind: 'looked', result };
    scope.cancel();
    await watching;
  } catch (error) {
    if (!isCancellation(error) && !(error instanceof ActivityFailure)) throw error;
  }
  return afterWait(state, news);
}

async function pause(
  step: Extract<Step, { kind: 'pause' }>,
  state: SagaState,
  news: News,
): Promise<Observation> {
  await condition(() => isWoken(state, news), Math.max(1, Math.ceil(step.ms)), { summary: step.why });
  heed(news);
  return afterWait(state, news);
}

/** Before anything is sent a hint is no news; after that, whatever the provider may have to show is. */
function isWoken({ stage }: SagaState, news: News): boolean {
  if (news.mayRetry) return true;
  if (stage === 'waiting') return false;
  return news.hint !== null || (stage === 'review' && news.resolutions.length > 0);
}

function afterWait({ stage }: SagaState, news: News): Observation {
  news.mayRetry = false;
  return { kind: stage === 'review' && news.resolutions.length > 0 ? 'resolutionAsked' : 'paused' };
}

async function resolve(refundId: string, terms: SagaTerms, news: News): Promise<Observation> {
  const asked = news.resolutions.shift();
  if (!asked) throw new Error('no resolution was asked for');
  try {
    const { verdict, wakeRefundId } = await provider.resolve.executeWithOptions(
      { ...providerCall(terms), summary: `A person decided: ${asked.resolution.outcome}` },
      [{ refundId, resolution: asked.resolution }],
    );
    asked.verdict = verdict;
    await wake(wakeRefundId);
    return {
      kind: 'resolved',
      result: verdict.kind === 'closed' || verdict.kind === 'resend' ? verdict : { kind: 'refused' },
    };
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    asked.verdict = { kind: 'providerUnavailable', detail: 'It could not be carried out.' };
    return { kind: 'resolved', result: { kind: 'refused' } };
  }
}

/** Takes the hint, so that one hint wakes one pause. */
function heed(news: News): News['heeded'] {
  news.heeded = news.hint ?? news.heeded;
  news.hint = null;
  return news.heeded;
}

async function closed(result: ClosingResult): Promise<Observation> {
  if (result.kind === 'refused') return { kind: 'closingRefused' };
  await wake(result.wakeRefundId);
  return { kind: 'closed', status: result.status };
}

async function wake(refundId: string | null): Promise<void> {
  if (refundId === null) return;
  try {
    await getExternalWorkflowHandle(refundWorkflowId(refundId)).signal(retrySignal, { body: {} });
  } catch {
    // It has ended or is lost; whoever waits asks again by timer.
  }
}

function showInSearch(status: string, terms: SagaTerms | null, refundId: string): void {
  log.info('refund ended', { refundId, status });
  upsertSearchAttributes([
    { key: defineSearchAttributeKey('RefundStatus', 'KEYWORD'), value: status },
    ...(terms
      ? [
          { key: defineSearchAttributeKey('RefundProvider', 'KEYWORD'), value: terms.provider },
          { key: defineSearchAttributeKey('RefundPaymentId', 'KEYWORD'), value: terms.paymentId },
          { key: defineSearchAttributeKey('RefundAmount', 'INT'), value: terms.amountMinor },
          ...(terms.deadlineMs === null
            ? []
            : [
                {
                  key: defineSearchAttributeKey('RefundDeadline', 'DATETIME'),
                  value: new Date(terms.deadlineMs),
                },
              ]),
        ]
      : []),
  ]);
}

function termsOf(state: SagaState): SagaTerms {
  if (!state.terms) throw new Error('no step at a provider before admission');
  return state.terms;
}
