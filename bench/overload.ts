import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { diceOf } from '../lab/dice.js';
import type { Contender } from './contender.js';
import { aligned, spansOf } from './figures.js';
import { now, paced, untilSettled } from './load.js';

export interface OverloadOptions {
  /** What it can take; twice as much is sent. */
  readonly perSecond: number;
  readonly seconds: number;
}

interface Answer {
  readonly paymentId: string;
  readonly key: string;
  readonly isTaken: boolean;
  readonly afterMs: number;
}

const REPEATS_AT_ONCE = 20;
const REPEAT_AFTER_MS = 500;

/**
 * Twice what it can take, and then every client that was turned away repeats its request with its key.
 * @returns lines for people. @throws where a refund is lost.
 */
export async function overload(
  contender: Contender,
  { perSecond, seconds }: OverloadOptions,
): Promise<readonly string[]> {
  const sinceMs = Date.now();
  const payments = await contender.register(Math.ceil(2 * perSecond * seconds));
  const answers = await paced(payments, 2 * perSecond, diceOf('overload'), (paymentId) =>
    answerTo(contender, paymentId, randomUUID()),
  );
  const beganRepeatingAtMs = now();
  const turnedAway = answers.filter(({ isTaken }) => !isTaken);
  await insist(contender, turnedAway);
  await untilSettled(contender, sinceMs, payments.length);

  const spans = (isTaken: boolean) =>
    spansOf(answers.filter((answer) => answer.isTaken === isTaken).map(({ afterMs }) => afterMs));
  const line = (name: string, isTaken: boolean): string[] => {
    const count = answers.filter((answer) => answer.isTaken === isTaken).length;
    const { p50, p99 } = spans(isTaken);
    return [name, String(count), (count / seconds).toFixed(1), p50.toFixed(0), p99.toFixed(0)];
  };
  return [
    ...aligned([
      [`${(2 * perSecond).toFixed(1)}/s for ${seconds} s`, 'requests', 'a second', 'p50, ms', 'p99, ms'],
      ['-', '-', '-', '-', '-'],
      line('202', true),
      line('429 or 503', false),
    ]),
    `${turnedAway.length} were repeated with their keys; all ${payments.length} were settled ` +
      `${((now() - beganRepeatingAtMs) / 1_000).toFixed(0)} s later`,
  ];
}

async function answerTo(contender: Contender, paymentId: string, key: string): Promise<Answer> {
  const sentAtMs = now();
  const asked = await contender.ask(paymentId, key);
  return { paymentId, key, isTaken: asked !== null, afterMs: now() - sentAtMs };
}

async function insist(contender: Contender, turnedAway: readonly Answer[]): Promise<void> {
  const waiting = [...turnedAway];
  const repeat = async (): Promise<void> => {
    for (let one = waiting.pop(); one; one = waiting.pop()) {
      while (!(await contender.ask(one.paymentId, one.key))) await pause(REPEAT_AFTER_MS);
    }
  };
  await Promise.all(Array.from({ length: REPEATS_AT_ONCE }, repeat));
}
