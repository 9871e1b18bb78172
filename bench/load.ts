import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Dice } from '../lab/dice.js';
import type { Asked, Contender } from './contender.js';

export interface Sent extends Asked {
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
}

const LOOK_EVERY_MS = 20;
const ASK_AGAIN_AFTER_MS = 500;
/** Of the time for warming up. */
const RAMP = 0.7;
const SETTLED_WITHIN_MS = 60_000;

/**
 * As many as it can take: so many are under way all the time, from the request to the settlement.
 * @param onSecond told when the measured time begins and when it ends. @returns settled a second in between.
 */
export async function saturate(
  contender: Contender,
  payments: readonly string[],
  { underWay, warmMs, measuredMs }: { underWay: number; warmMs: number; measuredMs: number },
  atBothEnds: () => Promise<void> = () => Promise.resolve(),
): Promise<{ readonly settled: number; readonly perSecond: number }> {
  const beganAtMs = now();
  let sent = 0;
  let settled = 0;
  const failures: Error[] = [];
  const ask = async (payment: string): Promise<void> => {
    const key = randomUUID();
    try {
      // As a client does it, where a cold process is slow.
      while (!(await contender.ask(payment, key))) await pause(ASK_AGAIN_AFTER_MS);
    } catch (error) {
      failures.push(error as Error);
    }
  };
  const counts: { readonly settled: number; readonly atMs: number }[] = [];
  const ends = [beganAtMs + warmMs, beganAtMs + warmMs + measuredMs];
  while (counts.length < ends.length) {
    if (failures[0]) throw failures[0];
    // Processes that have just begun are slow: they come to it step by step.
    const share = Math.min(1, (now() - beganAtMs) / (warmMs * RAMP));
    for (; sent - settled < Math.max(1, underWay * share); sent += 1) {
      const payment = payments[sent];
      if (payment === undefined) throw new Error('more payments are wanted than were registered');
      void ask(payment);
    }
    await pause(LOOK_EVERY_MS);
    settled = await contender.settledSince(beganAtMs);
    if (now() >= (ends[counts.length] ?? 0)) {
      counts.push({ settled, atMs: now() });
      await atBothEnds();
    }
  }
  await untilSettled(contender, beganAtMs, sent);
  const [first, last] = counts;
  if (!first || !last) throw new Error('nothing was measured');
  const measured = last.settled - first.settled;
  return { settled: measured, perSecond: (1_000 * measured) / (last.atMs - first.atMs) };
}

/** At a steady rate, in random gaps as clients leave them, whatever becomes of the requests before. */
export async function keepAsking(
  contender: Contender,
  payments: readonly string[],
  perSecond: number,
  dice: Dice,
): Promise<readonly Sent[]> {
  const beganAtMs = now();
  const answered = await paced(payments, perSecond, dice, async (payment): Promise<Sent | null> => {
    const sentAtMs = now();
    const asked = await contender.ask(payment);
    return asked && { ...asked, sentAtMs, answeredAtMs: now() };
  });
  const sent = answered.filter((each) => each !== null);
  await untilSettled(contender, beganAtMs, sent.length);
  return sent;
}

const GRAIN = 1_000_000;

/** In exponential gaps, as from requests that know nothing of each other; nobody waits for the answer before. */
export async function paced<Subject, Answer>(
  subjects: readonly Subject[],
  perSecond: number,
  dice: Dice,
  send: (subject: Subject) => Promise<Answer>,
): Promise<readonly Answer[]> {
  const under: Promise<Answer>[] = [];
  let dueAtMs = now();
  for (const subject of subjects) {
    dueAtMs += (-Math.log(1 - dice.between(0, GRAIN - 1) / GRAIN) * 1_000) / perSecond;
    const waitMs = dueAtMs - now();
    if (waitMs > 0) await pause(waitMs);
    under.push(send(subject));
  }
  return Promise.all(under);
}

export async function untilSettled(contender: Contender, sinceMs: number, count: number): Promise<void> {
  const deadline = now() + SETTLED_WITHIN_MS;
  for (;;) {
    const settled = await contender.settledSince(sinceMs);
    if (settled >= count) return;
    if (now() > deadline) throw new Error(`${contender.name}: ${count - settled} of ${count} never settled`);
    await pause(LOOK_EVERY_MS);
  }
}

/** Fractions of a millisecond, on the clock that other processes read too. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
