import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { watchForEnding } from '../src/embedded/ending.js';
import { startBare } from './bare.js';
import { startEstorno } from './estorno.js';
import { tableOf } from './figures.js';
import { runRounds } from './rounds.js';
import { startSite, type Site } from './site.js';

const USAGE = 'usage: npm run bench -- [--server] [--rounds 5] [--seconds 10] [--keep]';
const EXIT_INTERRUPTED = 130;

/** `npm run bench`: our service beside the bare sagas, on one machine, in turns. */
async function main(): Promise<number> {
  const options = readOptions();
  const ending = watchForEnding(true);
  const dataDir = await mkdtemp(join(tmpdir(), 'estorno-bench-'));
  const builtDir = fileURLToPath(new URL('..', import.meta.url));
  const place = { dataDir, builtDir };
  const starting = startSite({ ...place, engine: options.server ? 'server' : 'dev', log: print });
  try {
    const site = await starting;
    print(
      `${cpus().length} cores (${cpus()[0]?.model.trim()}), Node ${process.versions.node}, ${site.engineName}`,
    );
    const turns = await Promise.race([
      runRounds({ ...site, contenders: contendersOf(site, place), say: print }, options),
      ending.asked.then((why) => print(`Given up: ${why}`)),
    ]);
    if (!turns) return EXIT_INTERRUPTED;
    for (const line of ['', ...tableOf(turns)]) print(line);
    return 0;
  } finally {
    await starting.then((site) => site.close()).catch(() => undefined);
    if (options.keep) print(`Kept: ${dataDir}`);
    else await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

function contendersOf(site: Site, place: { readonly dataDir: string; readonly builtDir: string }) {
  return [
    () => startEstorno({ ...place, env: site.serviceEnv, databaseUrl: site.databaseUrl, workers: 1 }),
    () => startBare({ ...place, ...site, kind: 'plain', workers: 1 }),
    () => startBare({ ...place, ...site, kind: 'local', workers: 1 }),
  ];
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      server: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '10' },
      keep: { type: 'boolean', default: false },
    },
  });
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  if (![rounds, seconds].every((value) => Number.isSafeInteger(value) && value > 0)) throw new Error(USAGE);
  return { server: values.server, rounds, seconds, keep: values.keep };
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
