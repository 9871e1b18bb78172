/** `npm run simulate -- --schedules 100000 --seed 1`: plays that many schedules, on all cores, and says how they ended. */
import { availableParallelism } from 'node:os';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { playAll, together, type Seeds, type Tally } from './batch.js';
import { REAL_RULES } from './rules.js';
import { play } from './schedule.js';

const STEPS_SHOWN = 60;

if (isMainThread) await simulate();
else parentPort?.postMessage(playAll(workerData as Seeds));

async function simulate(): Promise<void> {
  const { values } = parseArgs({
    options: {
      schedules: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
    },
  });
  const schedules = wholeNumber('schedules', values.schedules);
  const seed = wholeNumber('seed', values.seed);
  const startedMs = performance.now();
  const threads = Math.min(availableParallelism(), schedules);
  const shares = Array.from({ length: threads }, (_, at) => ({
    first: seed + at,
    count: Math.ceil((schedules - at) / threads),
    step: threads,
  }));
  const tally = together(await Promise.all(shares.map(played)));
  const seconds = (performance.now() - startedMs) / 1_000;

  print(`${tally.played} schedules, seeds ${seed} to ${seed + schedules - 1}, ${tally.moves} moves`);
  print(`${seconds.toFixed(1)} s on ${threads} threads`);
  print(`\nHow their refunds ended\n${table(tally.ends)}`);
  print(`\nHow their rounds of votes ended\n${table(tally.approvals)}`);
  print(`\nWhat happened to them\n${table(tally.faults)}`);
  if (!tally.failure) {
    print('\nEvery promise was kept.');
    return;
  }
  const trace: string[] = [];
  play(tally.failure.seed, REAL_RULES, trace);
  print(`\nSeed ${tally.failure.seed} broke a promise: ${tally.failure.broken}`);
  print(trace.slice(-STEPS_SHOWN).join('\n'));
  print(`\nAgain: npm run simulate -- --seed ${tally.failure.seed} --schedules 1`);
  process.exitCode = 1;
}

function played(share: Seeds): Promise<Tally> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), {
      workerData: share,
      // Nearly all that a schedule allocates is garbage at its end.
      resourceLimits: { maxYoungGenerationSizeMb: 64 },
    });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

function table(counts: Readonly<Record<string, number>>): string {
  const rows = Object.entries(counts).sort(([, one], [, other]) => other - one);
  return rows.map(([name, count]) => `  ${String(count).padStart(9)}  ${name}`).join('\n');
}

/** @throws where it is none, or none that a seed can be. */
function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} must be a whole number above 0`);
  return value;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
