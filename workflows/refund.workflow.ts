import {
  ActivityFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  workflowInfo,
} from '@temporalio/workflow';
import { ApplicationFailure, TemporalFailure } from '@temporalio/common';
import { assertNever } from '../src/domain/errors.js';
import { begin, decide } from '../src/domain/saga.js';
import type { ApprovalStanding, Observation, SagaState, SagaTerms, Step } from '../src/domain/saga-state.js';
import type {
  AdmissionVerdict,
  ClosingResult,
  LedgerActivities,
  ProviderActivities,
} from '../activities/interface.js';
import { LEDGER_STEP, providerCall, providerWatch, QUICK_STEP, READING_STEP } from './activity-options.js';
import { describeStage } from './details.js';
import { refundIdOf, type Start } from './messages.js';
import { afterWait, dismissResolutions, heed, isWoken, listen, noNews, wake, type News } from './news.js';
import { showApproval, showEnd, shownBefore } from './search-attributes.js';
import { lookTold, resolveTold, submitTold } from './told.js';

const ledger = proxyLocalActivities<LedgerActivities>(LEDGER_STEP);
const provider = proxyActivities<ProviderActivities>({ startToCloseTimeout: '5m' });

/** What one run hands to the next when its history grows long. */
export interface CarriedOn {
  readonly state: SagaState;
  readonly verdict: AdmissionVerdict;
}

/**
 * One refund, from the request to its end. Temporal's own cancel request is ignored: it carries no proof of who asks,
 * and would leave a reservation, or money on its way, without its process.
 */
export function refund(start: Start, carried?: CarriedOn): Promise<{ status: string }> {
  // By hand anything may be handed over, or nothing; a throw that is no failure would be tried again and again.
  const given = start as { body?: Partial<Start['body']> | null } | null | undefined;
  if (refundIdOf(workflowInfo().workflowId) !== given?.body?.refundId) {
    throw ApplicationFailure.nonRetryable(
      'a refund runs under its own workflow id alone',
      'ForeignWorkflowId',
    );
  }
  return CancellationScope.nonCancellable(() => live(start, isContinued() ? carried : undefined));
}

/** Whoever starts a run by hand could write any past into it; a schedule and retries hand on what they began with. */
function isContinued(): boolean {
  const { continuedFromExecutionRunId, cronSchedule, retryPolicy } = workflowInfo();
  return continuedFromExecutionRunId !== undefined && cronSchedule === undefined && retryPolicy === undefined;
}

/** `decide` chooses each step, this carries it out and reports. */
async function live(start: Start, carried?: CarriedOn): Promise<{ status: string }> {
  const news = noNews(carried?.verdict);
  let shown = carried ? shownBefore(carried.state) : null;
  let { state, step } = carried
    ? decide(carried.state, { kind: 'paused' }, Date.now())
    : decide(begin(Date.now()), { kind: 'started' }, Date.now());
  listen(start, news, () => state.stage);

  while (step.kind !== 'end') {
    setCurrentDetails(describeStage(state, step, Date.now(), news.queuedBehind));
    const seen = await carryOut(step, start, state, news);
    if (seen.kind === 'paused' && workflowInfo().continueAsNewSuggested) await goOnAnew(start, state, news);
    ({ state, step } = decide(state, seen, Date.now()));
    if (state.stage !== 'review') dismissResolutions(news);
    shown = showApproval(state, shown);
  }

  setCurrentDetails(`**Ended: ${step.status}**`);
  showEnd(step.status, state.terms, start.body.refundId, shown !== null);
  await condition(allHandlersFinished);
  return { status: step.status };
}

async function goOnAnew(start: Start, state: SagaState, news: News): Promise<void> {
  const { verdict, resolutions } = news;
  if (!verdict) return;
  await condition(() => allHandlersFinished() || resolutions.length > 0);
  // Whoever waits for a resolution would wait for ever, and a vote's news would be lost: the next pause will do.
  if (resolutions.length > 0 || news.approval) return;
  await continueAsNew<typeof refund>(start, { state, verdict });
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
        { ...READING_STEP, summary: 'Validate and reserve' },
        [start],
      );
      news.verdict = admission.verdict;
      if ('resume' in admission) return { kind: 'resumed', ...admission.resume };
      if ('status' in admission) return { kind: 'closed', status: admission.status };
      if (!('terms' in admission)) return { kind: 'notAdmitted' };
      const { terms, approval, holdsLane } = admission;
      return {
        ...{ kind: 'admitted', terms },
        ...(approval ? { approval } : {}),
        ...(holdsLane ? { holdsLane } : {}),
      };
    }
    case 'expire':
      return expire(refundId);
    case 'remind': {
      const standing = await ledger.remind.executeWithOptions(
        { ...LEDGER_STEP, summary: 'Say that it waits' },
        [{ refundId, of: step.of, nowMs: Date.now() }],
      );
      return { kind: 'reminded', ...(standing ? { standing } : {}) };
    }
    case 'seeApproval':
      return { kind: 'approvalSeen', standing: await standingOf(refundId) };
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
      return look(refundId, state, news);
    case 'watch':
      return watch(step.untilMs, refundId, state, news);
    case 'pause':
      return pause(step, refundId, state, news);
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

/** People may have been faster: the ledger says how it stands. */
async function expire(refundId: string): Promise<Observation> {
  const expiry = await ledger.expire.executeWithOptions(
    { ...LEDGER_STEP, summary: 'The time for votes is over' },
    [{ refundId, nowMs: Date.now() }],
  );
  await wake(expiry.wakeRefundId);
  return { kind: 'approval', standing: expiry.standing };
}

async function submit(attempt: number, refundId: string, terms: SagaTerms): Promise<Observation> {
  try {
    const told = submitTold(
      await provider.submit.executeWithOptions(
        { ...providerCall(terms), summary: `Refund at ${terms.provider}, attempt ${attempt}` },
        [{ refundId, attempt, nowMs: Date.now() }],
      ),
    );
    if (!told) return { kind: 'callLost' };
    await wake(told.wakeRefundId);
    return { kind: 'submitted', result: told.result };
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    log.error('the submit activity failed', { attempt });
    return { kind: 'callLost' };
  }
}

const UNREAD = { kind: 'unavailable', retryAfterMs: null } as const;

async function look(refundId: string, state: SagaState, news: News): Promise<Observation> {
  const terms = termsOf(state);
  const source = heed(news) === 'webhook' ? 'webhook' : 'poll';
  news.heeded = null;
  if (terms.confirmsQuickly && source === 'webhook' && state.stage === 'confirming') {
    const seen = await confirm(refundId, terms);
    if (seen) return seen;
  }
  try {
    const result = await provider.look.executeWithOptions(
      { ...providerCall(terms), summary: `Look at ${terms.provider}` },
      [{ refundId, source, inReview: state.stage === 'review' }],
    );
    return { kind: 'looked', result: lookTold(result) ?? UNREAD };
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    return { kind: 'looked', result: UNREAD };
  }
}

/** Null where it came to nothing. */
async function confirm(refundId: string, terms: SagaTerms): Promise<Observation | null> {
  try {
    const seen = await ledger.confirm.executeWithOptions(
      { ...QUICK_STEP, summary: `Look at ${terms.provider}, settle` },
      [{ refundId, source: 'webhook' }],
    );
    if (seen.kind === 'closed') return await closed(seen);
    return seen.kind === 'unavailable' ? null : { kind: 'looked', result: seen };
  } catch (error) {
    // What a local step throws comes without the wrapping that a remote one's has.
    if (!(error instanceof TemporalFailure)) throw error;
    return null;
  }
}

/** Ended by a decision, by its bound, or by a hint, after which a look of our own follows. */
async function watch(untilMs: number, refundId: string, state: SagaState, news: News): Promise<Observation> {
  const terms = termsOf(state);
  const scope = new CancellationScope();
  const watching = scope.run(() =>
    provider.watch.executeWithOptions({ ...providerWatch(terms), summary: `Watch at ${terms.provider}` }, [
      { refundId, untilMs, inReview: state.stage === 'review' },
    ]),
  );
  const woken = condition(() => isWoken(state, news)).then(() => null);
  try {
    const result = await Promise.race([watching, woken]);
    if (result) return { kind: 'looked', result: lookTold(result) ?? UNREAD };
    scope.cancel();
    await watching;
  } catch (error) {
    if (!isCancellation(error) && !(error instanceof ActivityFailure)) throw error;
  }
  return whatCameMeanwhile(refundId, state, news);
}

async function pause(
  step: Extract<Step, { kind: 'pause' }>,
  refundId: string,
  state: SagaState,
  news: News,
): Promise<Observation> {
  // A run that is full takes no vote any more, and messages by hand could fill it in a minute.
  const isFull = (): boolean => state.stage === 'approving' && workflowInfo().continueAsNewSuggested;
  const ms = Math.max(1, Math.ceil(step.ms));
  await condition(() => isWoken(state, news) || isFull(), ms, { summary: step.why });
  return whatCameMeanwhile(refundId, state, news);
}

/** Whoever reaches Temporal may answer a message's step with a lie: how the approval stands the ledger itself says. */
async function whatCameMeanwhile(refundId: string, state: SagaState, news: News): Promise<Observation> {
  return afterWait(state, news) ?? { kind: 'approval', standing: await standingOf(refundId) };
}

function standingOf(refundId: string): Promise<ApprovalStanding> {
  return ledger.approvalStanding.executeWithOptions(
    { ...LEDGER_STEP, summary: 'See how the approval stands' },
    [{ refundId }],
  );
}

const NOT_CARRIED_OUT = {
  kind: 'providerUnavailable',
  detail: 'It could not be carried out.',
} as const;

async function resolve(refundId: string, terms: SagaTerms, news: News): Promise<Observation> {
  const asked = news.resolutions.shift();
  if (!asked) throw new Error('no resolution was asked for');
  const { body, proof } = asked.message;
  try {
    const told = resolveTold(
      await provider.resolve.executeWithOptions(
        { ...providerCall(terms), summary: `A person decided: ${body.outcome}` },
        [{ refundId, resolution: body, ...(proof === undefined ? {} : { proof }) }],
      ),
    );
    const verdict = told?.verdict ?? NOT_CARRIED_OUT;
    asked.verdict = verdict;
    await wake(told?.wakeRefundId ?? null);
    return {
      kind: 'resolved',
      result: verdict.kind === 'closed' || verdict.kind === 'resend' ? verdict : { kind: 'refused' },
    };
  } catch (error) {
    if (!(error instanceof ActivityFailure)) throw error;
    asked.verdict = NOT_CARRIED_OUT;
    return { kind: 'resolved', result: { kind: 'refused' } };
  }
}

async function closed(result: ClosingResult): Promise<Observation> {
  if (result.kind === 'refused') return { kind: 'closingRefused' };
  await wake(result.wakeRefundId);
  return { kind: 'closed', status: result.status };
}

function termsOf(state: SagaState): SagaTerms {
  if (!state.terms) throw new Error('no step at a provider before admission');
  return state.terms;
}
