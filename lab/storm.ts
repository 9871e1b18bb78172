import { setTimeout as pause } from 'node:timers/promises';
import type { SimulatedProvider } from '../simulators/book.js';
import type { Fault } from '../simulators/faults.js';
import type { CreatedPayment } from '../simulators/start.js';
import { clientOf, toldBy, type Answer, type Client } from './client.js';
import type { AskStory, Told } from './stories.js';
import type { Control } from './control.js';
import type { Dice } from './dice.js';
import { disturb } from './disturbances.js';
import { loseWorkflows, type Losses } from './losses.js';
import type { Operator } from './operator.js';
import type { People } from './people.js';
import type { Site } from './site.js';
import { troubleForRead, troubleForSubmit, troubleForToken, WITH_TOKENS } from './troubles.js';

export interface StormOptions {
  readonly refunds: number;
  /** 0: nobody is killed. */
  readonly killEveryMs: number;
  /** Whether workflows are terminated, and Temporal's database is wiped: the sweep that finds that comes every minute. */
  readonly losesWorkflows: boolean;
}

export interface Scene {
  readonly site: Site;
  readonly control: Control;
  readonly operator: Operator;
  readonly people: People;
  readonly say: (line: string) => void;
}

export interface StormReport {
  readonly asks: readonly AskStory[];
  /** Payments, by the ledger's id, from which money was taken at the panel. */
  readonly touched: ReadonlySet<string>;
  /** Answers that no client should get, in words. */
  readonly strange: readonly string[];
  /** By "operation name". */
  readonly faults: ReadonlyMap<string, number>;
  readonly disturbances: ReadonlyMap<string, number>;
  readonly losses: Losses | null;
  readonly webhooks: { sent: number; accepted: number; forged: number; forgedAccepted: number };
  readonly panelRefunds: number;
  readonly repeats: number;
  readonly lastedMs: number;
}

/** Refunds in every shape, while providers and processes fail. What it does is the seed's; what comes of it is not. */
export async function runStorm(scene: Scene, dice: Dice, options: StormOptions): Promise<StormReport> {
  const { site, control, operator, people, say } = scene;
  const startedAtMs = Date.now();
  const plans = planPayments(dice.forkFor('plans'), options.refunds);
  const calmAtMs = startedAtMs + options.refunds * PACE_MS;
  const storm: Storm = {
    site,
    control,
    people,
    client: clientOf(site.apiOrigins, site.keys.requester, () => calmAtMs + GIVE_UP_AFTER_MS),
    asks: [],
    touched: new Set(),
    strange: [],
    faults: new Map(),
    webhooks: { sent: 0, accepted: 0, forged: 0, forgedAccepted: 0 },
    panelRefunds: 0,
  };
  const disturbances =
    options.killEveryMs > 0 ? disturb(site, dice.forkFor('kills'), options.killEveryMs, say) : null;
  const losing = options.losesWorkflows
    ? loseWorkflows(site, dice.forkFor('losses'), (calmAtMs - startedAtMs) / 2)
    : Promise.resolve(null);
  // Awaited when the storm is over.
  losing.catch(() => undefined);
  const onCall = new AbortController();
  const resuming = operator.keepResuming(onCall.signal);
  const progress = setInterval(() => {
    const answered = storm.asks.filter(({ answers }) => answers.length > 0).length;
    const kills = [...(disturbances?.counts.values() ?? [])].reduce((sum, count) => sum + count, 0);
    say(`${seconds(startedAtMs)} s: ${answered} of ${options.refunds} answered, ${kills} kills and freezes`);
  }, PROGRESS_EVERY_MS);
  try {
    const gapMs = (calmAtMs - startedAtMs) / plans.length;
    await Promise.all(
      plans.map(async (plan, at) => {
        await pause(at * gapMs);
        await playPayment(storm, plan, dice.forkFor(`payment ${at}`));
      }),
    );
  } finally {
    clearInterval(progress);
    onCall.abort();
    await resuming;
    await disturbances?.stop();
  }
  return {
    ...storm,
    disturbances: disturbances?.counts ?? new Map(),
    losses: await losing,
    repeats: storm.client.unanswered(),
    lastedMs: Date.now() - startedAtMs,
  };
}

/** At this pace, one after another: so long is the storm. */
const PACE_MS = 260;
const GIVE_UP_AFTER_MS = 90_000;
const PROGRESS_EVERY_MS = 5_000;

interface Storm {
  readonly site: Site;
  readonly control: Control;
  readonly people: People;
  readonly client: Client;
  readonly asks: AskStory[];
  readonly touched: Set<string>;
  readonly strange: string[];
  readonly faults: Map<string, number>;
  readonly webhooks: StormReport['webhooks'];
  panelRefunds: number;
}

interface PaymentPlan {
  readonly provider: SimulatedProvider;
  readonly amountMinor: number;
  /** All at once. */
  readonly asksMinor: readonly number[];
  /** The same request twice at once. */
  readonly doubleClick: boolean;
  /** Null: nobody touches it. */
  readonly panelMinor: number | null;
}

const PROVIDERS = ['picpay', 'efi', 'braspag', 'fourgeeks', 'pagou'] as const;

function planPayments(dice: Dice, refunds: number): PaymentPlan[] {
  const plans: PaymentPlan[] = [];
  for (let left = refunds; left > 0; left -= plans.at(-1)?.asksMinor.length ?? 1) {
    const provider = PROVIDERS[plans.length % PROVIDERS.length] ?? 'efi';
    const amountMinor = dice.between(1_000, 90_000);
    const parts =
      provider !== 'pagou' && left > 1 && dice.chance(0.3) ? Math.min(left, dice.between(2, 3)) : 1;
    const part = Math.floor(amountMinor / dice.between(3, 5));
    const isWhole = parts === 1 && dice.chance(0.6);
    const panel = dice.chance(0.08);
    plans.push({
      provider,
      amountMinor,
      asksMinor: isWhole ? [amountMinor] : Array.from({ length: parts }, () => part),
      doubleClick: dice.chance(0.2),
      // Seldom the very amount that is asked for: nobody can tell the two apart then.
      panelMinor: panel ? (dice.chance(0.2) ? part : dice.between(1, 900)) : null,
    });
  }
  return plans;
}

async function playPayment(storm: Storm, plan: PaymentPlan, dice: Dice): Promise<void> {
  const { control } = storm;
  const payment = await control.createPayment(plan.provider, plan.amountMinor);
  const isEarly = hasWebhooks(plan.provider) && dice.chance(0.1);
  if (isEarly) await sendWebhooks(storm, payment, 1);
  const registered = await register(storm, payment, dice.chance(0.25));
  const paymentId = registered?.body['id'];
  if (typeof paymentId !== 'string') {
    storm.strange.push(`the payment ${payment.providerPaymentId} was answered ${JSON.stringify(registered)}`);
    return;
  }
  const asked = plan.asksMinor.map(async (amountMinor, at) => {
    await troubleProvider(storm, plan.provider, dice);
    const key = `${payment.providerPaymentId}/${at}`;
    const answer = await ask(storm, { key, paymentId, amountMinor }, plan.doubleClick);
    await storm.people.attend(answer, dice.forkFor(`people of refund ${at}`));
  });
  await Promise.all([...asked, disturbFromOutside(storm, plan, payment, paymentId, dice)]);
}

async function register(
  storm: Storm,
  payment: CreatedPayment,
  withUsersToken: boolean,
): Promise<Answer | null> {
  const { providerPaymentReference } = payment;
  const refreshToken = withUsersToken ? payment.refreshToken : undefined;
  return storm.client.insist('POST', '/v1/payments', {
    body: {
      provider: payment.provider,
      provider_payment_id: payment.providerPaymentId,
      amount: payment.amountMinor,
      currency: payment.currency,
      paid_at: payment.paidAt,
      ...(providerPaymentReference === undefined
        ? {}
        : { provider_payment_reference: providerPaymentReference }),
      ...(refreshToken === undefined ? {} : { provider_credentials: { refresh_token: refreshToken } }),
    },
  });
}

/** Half of all submits meet a fault, and now and then a read or a token call. */
async function troubleProvider(
  { control, faults }: Storm,
  provider: SimulatedProvider,
  dice: Dice,
): Promise<void> {
  const inject = async (fault: Fault): Promise<void> => {
    const what = `${fault.operation} ${fault.name}`;
    if (await control.inject(provider, fault)) faults.set(what, (faults.get(what) ?? 0) + 1);
  };
  if (dice.chance(0.55)) await inject(troubleForSubmit(dice));
  if (dice.chance(0.4)) await inject(troubleForRead(dice));
  if (WITH_TOKENS.includes(provider) && dice.chance(0.15)) await inject(troubleForToken(dice));
}

async function ask(
  storm: Storm,
  { key, paymentId, amountMinor }: Omit<AskStory, 'answers'>,
  isDoubleClicked: boolean,
): Promise<Answer | null> {
  const answers: Told[] = [];
  storm.asks.push({ key, paymentId, amountMinor, answers });
  const body = { payment_id: paymentId, amount: amountMinor, reason: 'requested_by_customer' };
  const click = async (): Promise<Answer | null> => {
    const answer = await storm.client.insist('POST', '/v1/refunds', { key, body });
    if (answer) answers.push(toldBy(answer));
    return answer;
  };
  const [answer] = await Promise.all(isDoubleClicked ? [click(), click()] : [click()]);
  return answer;
}

/** The panel, and webhooks in every wrong way. */
async function disturbFromOutside(
  storm: Storm,
  plan: PaymentPlan,
  payment: CreatedPayment,
  paymentId: string,
  dice: Dice,
): Promise<void> {
  await pause(dice.between(0, 1_500));
  if (plan.panelMinor !== null) {
    // Touched from the moment when it may be seen.
    storm.touched.add(paymentId);
    if (await storm.control.addPanelRefund(payment, plan.panelMinor)) storm.panelRefunds += 1;
  }
  if (!hasWebhooks(plan.provider)) return;
  if (dice.chance(0.25)) await sendWebhooks(storm, payment, 10);
  if (dice.chance(0.05)) await sendWebhooks(storm, await storm.control.createPayment(plan.provider, 100), 2);
  if (dice.chance(0.1)) await forgeWebhook(storm, payment);
}

function hasWebhooks(provider: SimulatedProvider): boolean {
  return provider === 'efi' || provider === 'braspag' || provider === 'pagou';
}

async function sendWebhooks(
  { control, webhooks }: Storm,
  payment: CreatedPayment,
  times: number,
): Promise<void> {
  const statuses = await control.sendWebhooks(payment, times);
  webhooks.sent += times;
  webhooks.accepted += statuses.filter((status) => status === 200).length;
}

async function forgeWebhook({ site, webhooks }: Storm, payment: CreatedPayment): Promise<void> {
  webhooks.forged += 1;
  const status = await fetch(`${site.apiOrigins[0]}/v1/providers/${payment.provider}/webhook?hmac=guess`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-webhook-secret': 'guess' },
    body: JSON.stringify({
      identificadorPagamento: payment.providerPaymentId,
      PaymentId: payment.providerPaymentId,
    }),
    signal: AbortSignal.timeout(5_000),
  }).then(
    (answer) => answer.status,
    () => 0,
  );
  if (status === 200) webhooks.forgedAccepted += 1;
}

function seconds(sinceMs: number): number {
  return Math.round((Date.now() - sinceMs) / 1000);
}
