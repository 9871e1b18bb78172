import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { diceOf } from '../lab/dice.js';
import { retried } from '../lab/retries.js';
import type { Contender } from './contender.js';
import { spansOf, type Turn } from './figures.js';
import { keepAsking, saturate, type Sent } from './load.js';
import { perRefund, type Meters, type Reading } from './meters.js';

export interface Scene {
  readonly meters: Meters;
  readonly client: Client;
  /** In the order of the table, ours first. Each is started for its turn alone. */
  readonly contenders: readonly (() => Promise<Contender>)[];
  /** Where the provider's webhooks go from now on. */
  readonly tellTarget: (url: string) => Promise<void>;
  /** The same for everybody before each turn: nobody pays for what the one before left to be written. */
  readonly settleDown: () => Promise<void>;
  readonly say: (line: string) => void;
}

export interface RoundOptions {
  readonly rounds: number;
  readonly seconds: number;
}

/** Under way from the request to the settlement: more only makes the queues longer. */
export const LOAD = { underWay: 60, warmMs: 8_000 };
/** No machine that this is for does more. */
const PER_SECOND_MAX = 150;
const COUNTED = 5;
const FIGURES_LAG_MS = 1_500;
const READY_WITHIN_MS = 60_000;

/** As many as may be asked for while it is saturated. */
export function paymentsFor({
  warmMs,
  measuredMs,
}: {
  readonly warmMs: number;
  readonly measuredMs: number;
}): number {
  return ((warmMs + measuredMs) / 1_000) * PER_SECOND_MAX;
}

/** Everybody's turn, in another order each round. */
export async function runRounds(scene: Scene, options: RoundOptions): Promise<readonly Turn[]> {
  const turns: Turn[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    const order = scene.contenders.map((_, at) => (at + round) % scene.contenders.length);
    const ofRound = new Map<number, Turn>();
    for (const at of order) {
      const start = scene.contenders[at];
      if (!start) continue;
      await scene.settleDown();
      const contender = await start();
      try {
        const turn = await takeTurn(scene, contender, options, `round ${round}`);
        ofRound.set(at, turn);
        scene.say(
          `round ${round + 1}, ${contender.name}: ${turn.perSecond.toFixed(1)}/s, ` +
            `end to end p50 ${turn.endToEndMs.p50.toFixed(0)} ms`,
        );
      } finally {
        await contender.stop();
      }
    }
    for (const at of scene.contenders.keys()) {
      const turn = ofRound.get(at);
      if (turn) turns.push(turn);
    }
  }
  return turns;
}

async function takeTurn(
  scene: Scene,
  contender: Contender,
  { seconds }: RoundOptions,
  seed: string,
): Promise<Turn> {
  const { meters } = scene;
  const load = { ...LOAD, measuredMs: seconds * 1_000 };
  await scene.tellTarget(contender.webhookUrl);
  const steps = await countSteps(scene, contender);

  const readings: Reading[] = [];
  const { settled, perSecond } = await saturate(
    contender,
    await contender.register(paymentsFor(load)),
    load,
    async () => void readings.push(await meters.read(contender.pids)),
  );
  const [first, last] = readings;
  if (!first || !last) throw new Error('nothing was read');

  const askedPerSecond = perSecond / 2;
  const payments = await contender.register(Math.ceil(askedPerSecond * seconds));
  const before = await meters.read(contender.pids);
  const sinceMs = Date.now();
  const sent = await keepAsking(contender, payments, askedPerSecond, diceOf(seed));
  const after = await meters.read(contender.pids);
  if (sent.length < payments.length) throw new Error('turned away at half of what it can take');
  return {
    contender: contender.name,
    perSecond,
    askedPerSecond,
    saturated: perRefund(first, last, settled),
    halfLoad: perRefund(before, after, sent.length),
    ...(await spans(contender, sinceMs, sent)),
    ...steps,
  };
}

/**
 * What the engine counts for one refund, one after the other: under load a confirmation may overtake the answer that it
 * confirms, and the course is another. The first one also waits until the worker is there.
 */
async function countSteps(
  { meters, client }: Scene,
  contender: Contender,
): Promise<Pick<Turn, 'events' | 'transitions' | 'actions'>> {
  const payments = await contender.register(1 + COUNTED);
  const counted: { readonly events: number; readonly transitions: number }[] = [];
  let actionsBefore: number | null = null;
  for (const [at, payment] of payments.entries()) {
    if (at === 1) actionsBefore = (await quietReading(meters, contender)).actions;
    const asked = await retried(async () => {
      const answer = await contender.ask(payment);
      if (answer === null) throw new Error('the first request was turned away');
      return answer;
    }, READY_WITHIN_MS);
    const handle = client.workflow.getHandle(asked.workflowId);
    await handle.result();
    const { raw, historyLength: events } = await handle.describe();
    const transitions = Number(raw.workflowExecutionInfo?.stateTransitionCount);
    if (at > 0) counted.push({ events, transitions });
  }
  const { actions } = await quietReading(meters, contender);
  const mean = (of: (one: (typeof counted)[number]) => number): number =>
    counted.reduce((sum, one) => sum + of(one), 0) / counted.length;
  return {
    events: mean(({ events }) => events),
    transitions: mean(({ transitions }) => transitions),
    actions: actions === null || actionsBefore === null ? null : (actions - actionsBefore) / COUNTED,
  };
}

/** The engine tells its figures with a delay. */
async function quietReading(meters: Meters, contender: Contender): Promise<Reading> {
  await pause(FIGURES_LAG_MS);
  return meters.read(contender.pids);
}

async function spans(
  contender: Contender,
  sinceMs: number,
  sent: readonly Sent[],
): Promise<Pick<Turn, 'postMs' | 'verdictMs' | 'endToEndMs'>> {
  const instants = await contender.instantsSince(sinceMs);
  const of = (measure: (one: Sent, settledAtMs: number, admittedAtMs: number | null) => number) =>
    spansOf(
      sent.map((one) => {
        const at = instants.get(one.refundId);
        if (!at) throw new Error(`${one.refundId} is not settled`);
        return measure(one, at.settledAtMs, at.admittedAtMs);
      }),
    );
  return {
    postMs: of(({ sentAtMs, answeredAtMs }) => answeredAtMs - sentAtMs),
    verdictMs: of(
      ({ sentAtMs, answeredAtMs }, _, admittedAtMs) => Math.max(answeredAtMs, admittedAtMs ?? 0) - sentAtMs,
    ),
    endToEndMs: of(({ sentAtMs }, settledAtMs) => settledAtMs - sentAtMs),
  };
}
