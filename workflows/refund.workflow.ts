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
  RefundStart,
} from '../activities/interface.js';
import { LEDGER_STEP, providerCall, providerWatch } from './activity-options.js';
import { describeStage } from './details.js';
import {
  admissionUpdate,
  hintSignal,
  laneSignal,
  refundIdOf,
  refundWorkflowId,
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
  laneFreed: boolean;
  queuedBehind: string | null;
}

/**
 * One refund, from the request to its end. Temporal's own cancel request is ignored: it carries no proof of who asks,
 * and would leave a reservation, or money on its way, without its process.
 */
export function refund(start: Envelope<RefundStart>, carried?: CarriedOn): Promise<{ status: string }> {
  if (refundIdOf(workflowInfo().workflowId) !== start.body.refundId) {
    throw ApplicationFailure.nonRetryable(
      'a refund runs under its own workflow id alone',
      'ForeignWorkflowId',
    );
  }
  return CancellationScope.nonCancellable(() => live(start, carried));
}

/** `decide` chooses each step, this carries it out and reports. */
async function live(start: Envelope<RefundStart>, carried?: CarriedOn): Promise<{ status: string }> {
  const news: News = {
    verdict: carried?.verdict,
    hint: null,
    heeded: null,
    laneFreed: false,
    queuedBehind: null,
  };
  let { state, step } = carried
    ? decide(carried.state, { kind: 'paused' }, Date.now())
    : decide(begin(Date.now()), { kind: 'started' }, Date.now());
  listen(start, news, () => state.stage);

  while (step.kind !== 'end') {
    setCurrentDetails(describeStage(state, step, Date.now(), news.queuedBehind));
    const seen = await carryOut(step, start, state, news);
    if (seen.kind === 'paused' && news.verdict && workflowInfo().continueAsNewSuggested) {
      await condition(allHandlersFinished);
      await continueAsNew<typeof refund>(start, { state, verdict: news.verdict });
    }
    ({ state, step } = decide(state, seen, Date.now()));
  }

  setCurrentDetails(`**Ended: ${step.status}**`);
  showInSearch(step.status, state.terms, start.body.refundId);
  await condition(allHandlersFinished);
  return { status: step.status };
}

function listen(start: Envelope<RefundStart>, news: News, stage: () => string): void {
  setHandler(admissionUpdate, async ({ body }) => {
    if (body.fingerprint !== start.body.fingerprint) return { kind: 'keyReused' };
    // Handlers run outside the workflow's own scope: without one of theirs a cancel request would reach them.
    await CancellationScope.nonCancellable(() => condition(() => news.verdict !== undefined));
    return news.verdict as AdmissionVerdict;
  });
  setHandler(hintSignal, ({ body }) => {
    // A webhook outranks a refresh as the source of what the next look finds.
    if (news.hint !== 'webhook') news.hint = body.source;
  });
  setHandler(laneSignal, () => {
    news.laneFreed = true;
  });
  setHandler(stageQuery, stage);
}

async function carryOut(
  step: Exclude<Step, { kind: 'end' }>,
  start: Envelope<RefundStart>,
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
      return watch(step.untilMs, refundId, termsOf(state), news);
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
async function watch(untilMs: number, refundId: string, terms: SagaTerms, news: News): Promise<Observation> {
  const scope = new CancellationScope();
  const watching = scope.run(() =>
    provider.watch.executeWithOptions({ ...providerWatch(terms), summary: `Watch at ${terms.provider}` }, [
      { refundId, untilMs },
    ]),
  );
  const hinted = condition(() => news.hint !== null).then(() => null);
  try {
    const result = await Promise.race([watching, hinted]);
    if (result) return { kind: 'looked', result };
    scope.cancel();
    await watching;
  } catch (error) {
    if (!isCancellation(error) && !(error instanceof ActivityFailure)) throw error;
  }
  return { kind: 'paused' };
}

async function pause(
  step: Extract<Step, { kind: 'pause' }>,
  state: SagaState,
  news: News,
): Promise<Observation> {
  // Before anything is sent only a free lane is news; after that, whatever the provider may have to show.
  const woken = (): boolean => (state.stage === 'waiting' ? news.laneFreed : news.hint !== null);
  await condition(woken, Math.max(1, Math.ceil(step.ms)), { summary: step.why });
  news.laneFreed = false;
  heed(news);
  return { kind: 'paused' };
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
    await getExternalWorkflowHandle(refundWorkflowId(refundId)).signal(laneSignal, { body: {} });
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
