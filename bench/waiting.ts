import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Estorno } from './estorno.js';
import { aligned, spansOf } from './figures.js';
import { now } from './load.js';
import { CONSUMERS, type Meters, type Reading } from './meters.js';

const ASKED_AT_ONCE = 64;
const ASK_AGAIN_AFTER_MS = 500;
const TOLD_EVERY = 10_000;
/** What the last of them left to be done: the sweep that finds them, PostgreSQL's own tidying. */
const CALM_MS = 150_000;
const IDLE_MS = 120_000;
const PAGE = 100;
const PAGES_READ = 50;

/**
 * Many refunds that wait for a vote: what they cost while nothing happens, and how long a page of them takes.
 * @returns lines for people.
 */
export async function measureWaiting(
  estorno: Estorno,
  meters: Meters,
  count: number,
  say: (line: string) => void,
): Promise<readonly string[]> {
  const before = await idle(estorno, meters);
  const beganAtMs = now();
  await askForVotes(estorno, count, say);
  say(`${count} wait after ${((now() - beganAtMs) / 1_000).toFixed(0)} s`);
  await pause(CALM_MS);
  const after = await idle(estorno, meters);
  const pages = await readPages(estorno);
  return [
    ...aligned([
      ['CPU ms a second', ...CONSUMERS],
      ['-', ...CONSUMERS.map(() => '-')],
      ['nothing waits', ...CONSUMERS.map((consumer) => before[consumer].toFixed(1))],
      [`${count} wait`, ...CONSUMERS.map((consumer) => after[consumer].toFixed(1))],
    ]),
    `A page of ${PAGE}, ${PAGES_READ} pages deep: p50 ${pages.p50.toFixed(1)} ms, p99 ${pages.p99.toFixed(1)} ms`,
  ];
}

async function idle(estorno: Estorno, meters: Meters): Promise<Reading['cpuMs']> {
  const before = await meters.read(estorno.pids);
  await pause(IDLE_MS);
  const after = await meters.read(estorno.pids);
  return Object.fromEntries(
    CONSUMERS.map((each) => [each, (after.cpuMs[each] - before.cpuMs[each]) / (IDLE_MS / 1_000)]),
  ) as Reading['cpuMs'];
}

/** What is called fraudulent needs a vote, by the policy that comes with the service. */
async function askForVotes(estorno: Estorno, count: number, say: (line: string) => void): Promise<void> {
  let asked = 0;
  const askSome = async (): Promise<void> => {
    while (asked < count) {
      asked += 1;
      if (asked % TOLD_EVERY === 0) say(`${asked} asked for`);
      const body = { provider: 'pagou', provider_payment_id: randomUUID(), reason: 'fraudulent' };
      const key = randomUUID();
      for (;;) {
        const answer = await estorno.call('POST', '/v1/refunds', body, key);
        if (answer.status === 202 && answer.body.status === 'requires_approval') break;
        if (answer.status !== 429 && answer.status !== 503) throw new Error(JSON.stringify(answer));
        await pause(ASK_AGAIN_AFTER_MS);
      }
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askSome));
}

async function readPages(estorno: Estorno): Promise<{ readonly p50: number; readonly p99: number }> {
  const tookMs: number[] = [];
  let after = '';
  for (let page = 0; page < PAGES_READ; page += 1) {
    const beganAtMs = now();
    const path = `/v1/refunds?status=requires_approval&limit=${PAGE}${after}`;
    const { status, body } = await estorno.call('GET', path);
    tookMs.push(now() - beganAtMs);
    const last = body.data?.at(-1);
    if (status !== 200 || !last) throw new Error(`a page was answered ${status}`);
    if (body.has_more !== true) break;
    after = `&starting_after=${last.id}`;
  }
  return spansOf(tookMs);
}
