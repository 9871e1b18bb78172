import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { bundleWorkflowCode, DefaultLogger, type WorkflowBundle } from '@temporalio/worker';
import type { Role } from '../src/ledger/keys.js';
import { refundWorkflowId } from '../workflows/messages.js';
import { registerPayment, refundWhen, startService, type Answer, type Service } from './setup/service.js';
import { fastForward, startSkipping, workflowNowMs } from './setup/skipped-time.js';

const AMOUNT_MINOR = 4_200;
const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
/** From an instant of the workflow's clock to the ledger's record of it, on a busy machine. */
const RECORDED_WITHIN_MS = 10 * SECOND_MS;
/** What a policy counts days in, and how long before a window's end it stops sending, unless it says otherwise. */
const TIME_ZONE = 'America/Sao_Paulo';
const SAFETY_MS = 600 * SECOND_MS;
/** Room for a vote and what follows it, on a busy machine. */
const JUST_BEFORE_MS = 20 * SECOND_MS;

const WEEKS = { expires_after: 'P30D', remind_every: 'P1D', escalate_after: 'P3D' };
const ONE_PERSON = [{ when: { amount_gte: 1 }, approvals: 1 }];
const TWO_PEOPLE = [{ when: { amount_gte: 1 }, approvals: 2 }];
const LONGER_THAN_ANY_WINDOW = { expires_after: 'P3650D', remind_every: 'P180D', escalate_after: 'P30D' };

jest.setTimeout(60_000);

let service: Service;
let policies: string;

beforeAll(async () => {
  [service, policies] = await Promise.all([startService(), mkdtemp(join(tmpdir(), 'estorno-policies-'))]);
});

afterAll(async () => {
  await service.close();
  await rm(policies, { recursive: true });
});

describe('an approval that takes weeks', () => {
  it('reminds once a day, escalates once, and is sent with the last vote', async () => {
    await deploy({ approval: { rules: TWO_PEOPLE, ...WEEKS } });
    const refund = await askForRefund();
    await passUntil(refund, refund.requestedAtMs + 20.5 * DAY_MS);
    expect(await vote(refund, 'bruno')).toMatchObject({
      status: 200,
      body: { status: 'requires_approval', approval: { missing: 1 } },
    });
    expect(await vote(refund, 'carla')).toMatchObject({ status: 200 });
    await succeeds(refund);

    const trail = await trailOf(refund);
    expect(daysOf('approval_reminder', trail, refund)).toEqual(daysUpTo(20));
    expect(daysOf('approval_escalated', trail, refund)).toEqual([3]);
    expect(daysOf('vote_cast', trail, refund)).toEqual([20.5, 20.5]);
  });

  it('expires when the policy says, and not before', async () => {
    await deploy({ approval: { rules: TWO_PEOPLE, ...WEEKS } });
    const refund = await askForRefund();
    const endMs = refund.requestedAtMs + 30 * DAY_MS;
    await passUntil(refund, endMs - JUST_BEFORE_MS);
    expect(await vote(refund, 'bruno')).toMatchObject({
      status: 200,
      body: { approval: { missing: 1, expires_at: new Date(endMs).toISOString() } },
    });
    await expires(refund, 'policy', endMs);
  });

  it('goes on to the end that an operator gave it', async () => {
    await deploy({ approval: { rules: ONE_PERSON, ...WEEKS } });
    const refund = await askForRefund();
    await passUntil(refund, refund.requestedAtMs + 29.5 * DAY_MS);
    await extend(refund, refund.requestedAtMs + 60 * DAY_MS);
    await passUntil(refund, refund.requestedAtMs + 45.5 * DAY_MS);
    expect(await vote(refund, 'bruno')).toMatchObject({ status: 200 });
    await succeeds(refund);
    expect(daysOf('approval_reminder', await trailOf(refund), refund)).toEqual(daysUpTo(45));
  });

  it('outlasts a deploy, and goes on under its own policy', async () => {
    await deploy({ approval: { rules: TWO_PEOPLE, ...WEEKS } });
    const refund = await askForRefund();
    await passUntil(refund, refund.requestedAtMs + 10.5 * DAY_MS);
    expect(await vote(refund, 'bruno')).toMatchObject({ status: 200 });
    await deploy({ approval: { expires_after: 'P1D' }, window: { pix_days: 1 } }, await freshBundle());
    await passUntil(refund, refund.requestedAtMs + 15.5 * DAY_MS);
    expect(await vote(refund, 'carla')).toMatchObject({ status: 200 });
    await succeeds(refund);
    expect(daysOf('approval_reminder', await trailOf(refund), refund)).toEqual(daysUpTo(15));
  });
});

describe('an approval that would outlast the window', () => {
  it.each(['America/New_York', 'America/Santiago', 'Australia/Lord_Howe'])(
    'ends with it in %s, across clock changes and a leap day',
    async (zone) => {
      const days = daysPastLeapDayAndClockChange(Date.now(), zone);
      await deploy({
        approval: { rules: ONE_PERSON, ...LONGER_THAN_ANY_WINDOW },
        window: { pix_days: days, time_zone: zone },
      });
      const refund = await askForRefund();
      const deadlineMs = startOfDate(refund.paidAtMs, days + 1, zone);
      expect(await lookAt(refund)).toMatchObject({
        refund_deadline: new Date(deadlineMs).toISOString(),
        approval: { expires_at: new Date(deadlineMs - SAFETY_MS).toISOString() },
      });
      await expires(refund, 'window', deadlineMs - SAFETY_MS);

      const warnings = (await trailOf(refund)).filter(({ type }) => type === 'window_closing');
      expect(warnings.map(({ data }) => data['days_left'])).toEqual([7, 2, 1]);
      const daysBefore = ({ occurred_at }: TrailEvent): number =>
        Math.ceil((deadlineMs - Date.parse(occurred_at)) / DAY_MS);
      expect(warnings.map(daysBefore)).toEqual([7, 2, 1]);
    },
  );

  it('is sent after a vote just before the last safe instant of 90 days, and not after one past it', async () => {
    await deploy({ approval: { rules: ONE_PERSON, ...WEEKS, expires_after: 'P365D', remind_every: 'P7D' } });
    const [inTime, late] = await Promise.all([askForRefund(), askForRefund()]);
    const lastSafeMs = ({ paidAtMs }: Waiting): number => startOfDate(paidAtMs, 91, TIME_ZONE) - SAFETY_MS;
    await Promise.all([inTime, late].map((refund) => passUntil(refund, lastSafeMs(refund) - JUST_BEFORE_MS)));

    expect(await vote(inTime, 'bruno')).toMatchObject({ status: 200 });
    await succeeds(inTime);

    await expires(late, 'window', lastSafeMs(late));
    expect(await vote(late, 'bruno')).toMatchObject({ status: 409, body: { code: 'already_final' } });
    expect((await trailOf(late)).at(-1)).toMatchObject({ type: 'vote_refused', actor: 'bruno' });
  });
});

describe('workers that were away', () => {
  it('speak of one reminder for all that they missed, and of none where the end has passed', async () => {
    const hasty = { expires_after: 'PT4S', remind_every: 'PT1S', escalate_after: 'P1D' };
    await deploy({ approval: { rules: ONE_PERSON, ...hasty } });
    const [waiting, over] = await Promise.all([askForRefund(), askForRefund()]);
    await extend(waiting, waiting.requestedAtMs + DAY_MS);
    await service.stopWorkers();
    const endMs = over.requestedAtMs + 4 * SECOND_MS;
    const [toldOfWaiting, toldOfOver] = [await trailOf(waiting), await trailOf(over)];
    await passes(endMs - SECOND_MS);
    const tooLate = vote(over, 'bruno');
    await passes(endMs);
    await service.startWorkers();

    expect(await tooLate).toMatchObject({ status: 409, body: { code: 'already_final' } });
    await refundWhen(service, over.id, ({ status }) => status === 'expired');
    const news = (await trailOf(over)).slice(toldOfOver.length).map(({ type }) => type);
    expect(news.sort()).toEqual(['refund_expired', 'vote_refused']);

    expect(await vote(waiting, 'bruno')).toMatchObject({ status: 200 });
    const missed = (await trailOf(waiting)).slice(toldOfWaiting.length)[0];
    expect(missed).toMatchObject({ type: 'approval_reminder' });
    expect(missed?.data['number']).toBeGreaterThanOrEqual(4);
    await succeeds(waiting);
  });
});

interface Waiting {
  readonly id: string;
  readonly paymentId: string;
  readonly providerPaymentId: string;
  readonly paidAtMs: number;
  readonly requestedAtMs: number;
  readonly contentHash: string;
}

interface TrailEvent {
  readonly type: string;
  readonly actor: string;
  readonly sequence: number;
  readonly occurred_at: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Workers that admit under this policy take the place of those that were there. */
async function deploy(policy: object, workflowBundle?: WorkflowBundle): Promise<void> {
  const policyFile = join(policies, 'policy.json');
  await writeFile(policyFile, JSON.stringify(policy));
  await service.stopWorkers();
  await service.startWorkers({ policyFile, ...(workflowBundle ? { workflowBundle } : {}) });
}

async function askForRefund(): Promise<Waiting> {
  const payment = await registerPayment(service, 'efi', AMOUNT_MINOR);
  const { body: registered } = await service.call('GET', `/v1/payments/${payment.id}`);
  const { status, body } = await service.call('POST', '/v1/refunds', {
    idempotencyKey: payment.id,
    body: { payment_id: payment.id, reason: 'requested_by_customer' },
  });
  expect({ status, body }).toMatchObject({ status: 202, body: { status: 'requires_approval' } });
  const approval = body['approval'] as { requested_at: string; content_hash: string };
  return {
    id: body.id,
    paymentId: payment.id,
    providerPaymentId: payment.providerPaymentId,
    paidAtMs: Date.parse(String(registered['paid_at'])),
    requestedAtMs: Date.parse(approval.requested_at),
    contentHash: approval.content_hash,
  };
}

/** The refund's workflow lives on to this instant, with all that falls due until then. */
async function passUntil({ id }: Waiting, untilMs: number): Promise<void> {
  const workflowId = refundWorkflowId(id);
  const nowMs = await workflowNowMs(service.client, workflowId);
  await fastForward(service.client, workflowId, untilMs - nowMs);
}

/** Real time, where nobody may skip any: without workers a workflow's clock stops at its next timer. */
async function passes(untilMs: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, untilMs - Date.now()));
}

function vote({ id, contentHash }: Waiting, actor: string): Promise<Answer> {
  return ask(`/v1/refunds/${id}/approve`, 'approver', actor, { content_hash: contentHash });
}

async function extend({ id }: Waiting, untilMs: number): Promise<void> {
  const body = { expires_at: new Date(untilMs).toISOString() };
  expect(await ask(`/v1/refunds/${id}/extend`, 'operator', 'olga', body)).toMatchObject({
    status: 200,
    body: { approval: body },
  });
}

function ask(path: string, role: Role, actor: string, body: object): Promise<Answer> {
  return service.call('POST', path, { role, actor, body });
}

async function lookAt({ id }: Waiting): Promise<Answer['body']> {
  return (await service.call('GET', `/v1/refunds/${id}`)).body;
}

async function succeeds(refund: Waiting): Promise<void> {
  await refundWhen(service, refund.id, ({ status }) => status === 'succeeded');
  expect(service.simulators.refundsOf('efi', refund.providerPaymentId)).toHaveLength(1);
}

/** At this instant of the workflow's clock, with everything as if nobody had asked. */
async function expires(refund: Waiting, endedBy: 'policy' | 'window', endMs: number): Promise<void> {
  await startSkipping(service.client, refundWorkflowId(refund.id));
  await refundWhen(service, refund.id, ({ status }) => status === 'expired');
  const expired = (await trailOf(refund)).find(({ type }) => type === 'refund_expired');
  expect(expired?.data).toMatchObject({ ended_by: endedBy });
  const lateMs = Date.parse(expired?.occurred_at ?? '') - endMs;
  expect(lateMs).toBeGreaterThanOrEqual(0);
  expect(lateMs).toBeLessThan(RECORDED_WITHIN_MS);
  expect(await service.call('GET', `/v1/payments/${refund.paymentId}`)).toMatchObject({
    body: { amount_reserved: 0, refundable_amount: AMOUNT_MINOR },
  });
  expect(service.simulators.refundsOf('efi', refund.providerPaymentId)).toEqual([]);
}

async function trailOf({ id }: Waiting): Promise<TrailEvent[]> {
  const { body } = await service.call('GET', `/v1/refunds/${id}/events?limit=100`);
  return (body['data'] as TrailEvent[]).sort((one, other) => one.sequence - other.sequence);
}

/** After how many days of waiting it happened, each time. */
function daysOf(type: string, trail: readonly TrailEvent[], { requestedAtMs }: Waiting): number[] {
  const days = trail
    .filter((event) => event.type === type)
    .map((event) => (Date.parse(event.occurred_at) - requestedAtMs) / DAY_MS);
  return days.map((day) => Math.floor(day * 100) / 100);
}

function daysUpTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

/** So many that a window of them reaches past the next 29 February and ends under another offset from UTC. */
function daysPastLeapDayAndClockChange(fromMs: number, zone: string): number {
  const year = new Date(fromMs).getUTCFullYear();
  const leapDayMs = Array.from({ length: 9 }, (_, index) => Date.UTC(year + index, 1, 29)).find(
    (dayMs) => dayMs > fromMs && new Date(dayMs).getUTCDate() === 29,
  );
  let days = Math.ceil(((leapDayMs ?? NaN) - fromMs) / DAY_MS);
  const firstMs = startOfDate(fromMs, 0, zone);
  while ((startOfDate(fromMs, days + 1, zone) - firstMs) % DAY_MS === 0) days += 1;
  return days;
}

/** The first instant of the date that comes so many dates after this one in the zone, found by asking Intl alone. */
function startOfDate(fromMs: number, datesLater: number, zone: string): number {
  // Swedish writes dates as ISO 8601 does.
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short' });
  const middayMs = Date.parse(`${format.format(fromMs)}T12:00:00Z`) + datesLater * DAY_MS;
  const date = new Date(middayMs).toISOString().slice(0, 10);
  let [beforeMs, withinMs] = [middayMs - 2 * DAY_MS, middayMs + 2 * DAY_MS];
  while (withinMs - beforeMs > 1) {
    const betweenMs = Math.floor((beforeMs + withinMs) / 2);
    if (format.format(betweenMs) < date) beforeMs = betweenMs;
    else withinMs = betweenMs;
  }
  return withinMs;
}

async function freshBundle(): Promise<WorkflowBundle> {
  return bundleWorkflowCode({
    workflowsPath: join(import.meta.dirname, '..', 'workflows', 'index.ts'),
    logger: new DefaultLogger('ERROR'),
    webpackConfigHook: (config) => ({
      ...config,
      resolve: { ...config.resolve, extensionAlias: { '.js': ['.ts', '.js'] } },
    }),
  });
}
