import { setTimeout as pause } from 'node:timers/promises';
import { compareApprovals, type ApprovalBooks } from './approval-comparison.js';
import { coursesOf } from './approval-course.js';
import { awaitedApprovals, readBooks, readTrail, readVotes } from './books.js';
import { clientOf, toldBy } from './client.js';
import { compareAnswers, compareDecisions, comparePayment, compareTrips, isDecidable } from './comparison.js';
import { controlAt, type Control } from './control.js';
import { diceOf, type Dice } from './dice.js';
import { operatorOf } from './operator.js';
import { peopleOf } from './people.js';
import { retried } from './retries.js';
import { untilAllReady, type Site } from './site.js';
import type { AskStory, Decision, Discrepancy, PaymentStory, Trip } from './stories.js';
import { runStorm, type Scene, type StormOptions, type StormReport } from './storm.js';
import { checkTrails } from './trail.js';

export interface LabReport {
  readonly storm: StormReport;
  readonly stories: readonly PaymentStory[];
  /** From the moment when everything ran again until nothing was open that could be decided; null: never. */
  readonly recoveryMs: number | null;
  readonly trips: readonly Trip[];
  readonly decisions: readonly Decision[];
  readonly approvals: ApprovalBooks & { readonly repeats: number };
  readonly discrepancies: readonly Discrepancy[];
}

/** A storm, then calm and what people do in it, then the books of both sides. */
export async function runLab(
  site: Site,
  options: StormOptions & { readonly seed: string },
  say: (line: string) => void,
): Promise<LabReport> {
  const dice = diceOf(options.seed);
  const control = controlAt(site.controlOrigin);
  const operator = operatorOf(site);
  const people = peopleOf(site);
  const scene = { site, control, operator, people, say };
  const storm = await runStorm(scene, dice, options);
  say('The storm is over: everything is started again, and no fault is left');
  await site.heal();
  const restartedAtMs = Date.now();
  await control.clearFaults();
  await decideLeftovers(control, dice.forkFor('leftovers'));
  await untilAllReady(site);
  const recoveryMs = await recover(scene, restartedAtMs);
  // A key that was never answered may be admitted only now.
  const asks = await askAgain(site, storm.asks);
  await untilNobodyIsAwaited(site);
  // Where the backlog never goes, it would be waited for again and again.
  const decisions = recoveryMs === null ? [] : await clearUp(scene, dice);
  const [stories, trail, votes] = await Promise.all([
    readBooks(site.databaseUrl, control),
    readTrail(site.databaseUrl),
    readVotes(site.databaseUrl),
  ]);
  const approvals = {
    ...{ courses: coursesOf(trail), votes, messages: people.messages },
    repeats: people.repeats(),
  };
  const { trips } = operator;
  return {
    storm,
    stories,
    recoveryMs,
    trips,
    decisions,
    approvals,
    discrepancies: [
      ...stories.flatMap((story) => comparePayment(story)),
      ...compareTrips(trips, stories),
      ...compareDecisions(decisions, stories),
      ...compareAnswers(asks, refundsOf(stories), touched(stories, storm)),
      ...compareApprovals(approvals),
      ...checkTrails(trail),
      ...strange(storm),
      ...site.deaths.map((detail): Discrepancy => ({ kind: 'died', subject: 'a process', detail })),
    ],
  };
}

/** Reconciles, has reviews ended by a person, and reconciles again: what a person answered is not asked once more. */
async function clearUp(scene: Scene, dice: Dice): Promise<readonly Decision[]> {
  const { site, control, operator, people } = scene;
  await recover(scene, Date.now());
  await untilNothingIsDue(control);
  await operator.reconcile();
  await recover(scene, Date.now());
  const stories = await readBooks(site.databaseUrl, control);
  const decisions = await operator.resolveSome(stories, dice.forkFor('decisions'));
  for (const [at, { refundId, outcome }] of decisions.entries()) {
    if (outcome === 'resend') await people.voteAgain(refundId, dice.forkFor(`resend ${at}`));
  }
  await recover(scene, Date.now());
  await operator.reconcile();
  await recover(scene, Date.now());
  return decisions;
}

/** What people are not asked for any more, and have left undecided, has come to its end. */
async function untilNobodyIsAwaited(site: Site): Promise<void> {
  await retried(async () => {
    const awaited = await awaitedApprovals(site.databaseUrl);
    if (awaited > 0) throw new Error(`${awaited} approvals never came to their end`);
  }, RECOVERY_MS_MAX);
}

/** What the simulators still have in mind has happened. */
async function untilNothingIsDue(control: Control): Promise<void> {
  await retried(async () => {
    const [{ refunds }, calls] = await Promise.all([control.books(), control.struckCalls()]);
    const isLate = calls.some(
      ({ fault, atMs }) => fault?.name === 'late_effect' && atMs + fault.ms + LATE_BY_MS > Date.now(),
    );
    const isDue = refunds.some(
      ({ due, afterwards, status }) => due ?? (status === 'succeeded' && afterwards),
    );
    if (isLate || isDue) throw new Error('the simulators never came to rest');
  }, RECOVERY_MS_MAX);
}

const LATE_BY_MS = 500;
const RECOVERY_MS_MAX = 90_000;
const LOOK_EVERY_MS = 500;
const PROGRESS_EVERY_LOOKS = 10;
const NAMED_MAX = 3;
const REPEATS_AT_ONCE = 20;

/** What a provider never confirms is ended by hand, as a provider might at last; a few stay as they are. */
async function decideLeftovers(control: Control, dice: Dice): Promise<void> {
  for (const refund of (await control.books()).refunds) {
    const isLeft = (refund.status === 'pending' || refund.status === 'unclear') && refund.due === null;
    if (!isLeft || dice.chance(0.2)) continue;
    const mayReject = refund.provider === 'efi' || refund.provider === 'braspag';
    await control.setRefundStatus(refund, mayReject && dice.chance(0.25) ? 'rejected' : 'succeeded');
  }
}

async function recover({ site, control, operator, say }: Scene, sinceMs: number): Promise<number | null> {
  for (let look = 0; ; look += 1) {
    await operator.resumeTripped();
    const stories = await readBooks(site.databaseUrl, control);
    const open = stories.flatMap((story) => story.refunds.filter((refund) => isDecidable(story, refund)));
    if (open.length === 0) return Date.now() - sinceMs;
    if (look % PROGRESS_EVERY_LOOKS === 0) {
      const some = open.slice(0, NAMED_MAX).map(({ id, status }) => `${id} ${status}`);
      say(`${open.length} refunds are still open: ${some.join(', ')}`);
    }
    if (Date.now() - sinceMs > RECOVERY_MS_MAX) return null;
    await pause(LOOK_EVERY_MS);
  }
}

/** Every key once more, after the end: the same answer for good, and the refund found under its id. */
async function askAgain(site: Site, asks: readonly AskStory[]): Promise<AskStory[]> {
  const giveUpAtMs = Date.now() + RECOVERY_MS_MAX;
  const client = clientOf(site.apiOrigins, site.keys.requester, () => giveUpAtMs);
  const again: AskStory[] = [];
  const waiting = [...asks];
  const worker = async (): Promise<void> => {
    for (let ask = waiting.pop(); ask; ask = waiting.pop()) {
      const body = { payment_id: ask.paymentId, amount: ask.amountMinor, reason: 'requested_by_customer' };
      const repeated = await client.insist('POST', '/v1/refunds', { key: ask.key, body });
      const found = await Promise.all(
        ask.answers
          .flatMap(({ refundId }) => refundId ?? [])
          .slice(0, 1)
          .map((id) => client.insist('GET', `/v1/refunds/${id}`)),
      );
      const lost = found.flatMap((answer) => (answer?.status === 200 ? [] : [answer]));
      again.push({
        ...ask,
        answers: [
          ...ask.answers,
          ...(repeated === null ? [] : [toldBy(repeated)]),
          ...lost.map((answer) => ({
            status: answer?.status ?? 0,
            refundId: null,
            code: 'not found by its id',
          })),
        ],
      });
    }
  };
  await Promise.all(Array.from({ length: REPEATS_AT_ONCE }, worker));
  return again;
}

function refundsOf(stories: readonly PaymentStory[]) {
  return new Map(stories.flatMap(({ refunds }) => refunds.map((refund) => [refund.id, refund])));
}

const LESS_IS_LEFT = ['other_amount', 'too_late_effect', 'read unknown_status'];

/** Payments of which less may be left than their own refunds explain, or that showed a status which no document lists. */
function touched(stories: readonly PaymentStory[], storm: StormReport): Set<string> {
  const booked = stories.filter(({ struck }) => struck.some((name) => LESS_IS_LEFT.includes(name)));
  return new Set([...storm.touched, ...booked.map(({ id }) => id)]);
}

function strange({ strange, webhooks }: StormReport): Discrepancy[] {
  const forged =
    webhooks.forgedAccepted === 0 ? [] : [`${webhooks.forgedAccepted} forged webhooks were taken`];
  return [...strange, ...forged].map((detail) => ({ kind: 'server_error', subject: 'the API', detail }));
}
