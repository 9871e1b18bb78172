import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { watchForEnding } from '../src/embedded/ending.js';
import { runLab, type LabReport } from './lab.js';
import { startSite } from './site.js';
import { summarise } from './summary.js';

const USAGE = 'usage: npm run lab -- --seed N --refunds 500 [--kill-every-ms 2000] [--keep]';
const EXIT_INTERRUPTED = 130;

/** `npm run lab`: exits with 0 where the books of both sides agree, else with 1. */
async function main(): Promise<number> {
  const options = readOptions();
  const ending = watchForEnding(true);
  const dataDir = await mkdtemp(join(tmpdir(), 'estorno-lab-'));
  print(`Seed ${options.seed}, ${options.refunds} refunds; data and logs in ${dataDir}`);
  const builtDir = fileURLToPath(new URL('..', import.meta.url));
  const starting = startSite({ dataDir, builtDir, apis: 2, workers: 2 });
  try {
    const site = await starting;
    const report = await Promise.race([
      runLab(site, { ...options, losesWorkflows: true }, print),
      ending.asked.then((why) => print(`Given up: ${why}`)),
    ]);
    if (!report) return EXIT_INTERRUPTED;
    const { seed, refunds, killEveryMs } = options;
    const command = `npm run lab -- --seed ${seed} --refunds ${refunds} --kill-every-ms ${killEveryMs}`;
    for (const line of ['', ...summarise(report, command)]) print(line);
    if (!wasStorm(report, options)) {
      print('It was no storm: nothing was killed, or no call to a provider failed');
    }
    const isWhole = report.discrepancies.length === 0 && report.recoveryMs !== null;
    return isWhole && wasStorm(report, options) ? 0 : 1;
  } finally {
    await starting.then((site) => site.close()).catch(() => undefined);
    if (options.keep) print(`Kept: ${dataDir}`);
    else await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

function wasStorm({ storm }: LabReport, { killEveryMs }: { killEveryMs: number }): boolean {
  return storm.faults.size > 0 && (storm.disturbances.size > 0 || killEveryMs === 0);
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      refunds: { type: 'string', default: '500' },
      'kill-every-ms': { type: 'string', default: '2000' },
      keep: { type: 'boolean', default: false },
    },
  });
  const refunds = Number(values.refunds);
  const killEveryMs = Number(values['kill-every-ms']);
  const isSound = Number.isSafeInteger(refunds) && refunds > 0 && Number.isSafeInteger(killEveryMs);
  if (!isSound || killEveryMs < 0) throw new Error(USAGE);
  return { seed: values.seed, refunds, killEveryMs, keep: values.keep };
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

try {
  process.exit(await main());
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
