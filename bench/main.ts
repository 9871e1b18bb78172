import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { simulatorsSeat, type SeatPlace } from '../lab/seats.js';
import { assertNever } from '../src/domain/errors.js';
import { watchForEnding } from '../src/embedded/ending.js';
import { startBare } from './bare.js';
import { compareCrews } from './crews.js';
import { startEstorno, type Estorno } from './estorno.js';
import { tableOf } from './figures.js';
import { saturate } from './load.js';
import { overload } from './overload.js';
import { measurePartials } from './partials.js';
import { LOAD, paymentsFor, runRounds } from './rounds.js';
import { startSite, type Site } from './site.js';
import { measureWaiting } from './waiting.js';

const MEASURES = ['sagas', 'workers', 'overload', 'partials', 'waiting'] as const;
const USAGE = `usage: npm run bench -- [--server] [--rounds 5] [--seconds 10] [--measure ${MEASURES.join('|')}] [--count N] [--keep]`;
const EXIT_INTERRUPTED = 130;
const OVERLOAD_SECONDS = 60;
const PARTIALS = 1_000;
const WAITING = 100_000;
const CREWS = [1, 2, 4];

/** `npm run bench`: our service beside the bare sagas, on one machine, in turns; or how it grows. */
async function main(): Promise<number> {
  const options = readOptions();
  const ending = watchForEnding(true);
  const dataDir = await mkdtemp(join(tmpdir(), 'estorno-bench-'));
  const place = { dataDir, builtDir: fileURLToPath(new URL('..', import.meta.url)) };
  const starting = startSite({ ...place, engine: options.engine, log: print });
  try {
    const site = await starting;
    const model = cpus()[0]?.model.trim();
    print(`${cpus().length} cores (${model}), Node ${process.versions.node}, ${site.engineName}`);
    const lines = await Promise.race([
      measure(site, place, options),
      ending.asked.then((why) => print(`Given up: ${why}`)),
    ]);
    if (!lines) return EXIT_INTERRUPTED;
    for (const line of ['', ...lines]) print(line);
    return 0;
  } finally {
    await starting.then((site) => site.close()).catch(() => undefined);
    if (options.keep) print(`Kept: ${dataDir}`);
    else await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

type Options = ReturnType<typeof readOptions>;

async function measure(site: Site, place: SeatPlace, options: Options): Promise<readonly string[]> {
  const load = { ...LOAD, measuredMs: options.seconds * 1_000 };
  switch (options.measure) {
    case 'sagas': {
      const contenders = [
        () => startOurs(site, place),
        () => startBare({ ...place, ...site, kind: 'plain', workers: 1 }),
        () => startBare({ ...place, ...site, kind: 'local', workers: 1 }),
      ];
      return tableOf(await runRounds({ ...site, contenders, say: print }, options));
    }
    case 'workers': {
      const crews = CREWS.flatMap((workers) => [
        { workers, start: () => startOurs(site, place, workers) },
        { workers, start: () => startBare({ ...place, ...site, kind: 'plain', workers }) },
      ]);
      return compareCrews(crews, (url) => site.tellTarget(url), load, paymentsFor(load));
    }
    case 'overload':
      return withOurs(site, place, async (estorno) => {
        await site.tellTarget(estorno.webhookUrl);
        const { perSecond } = await saturate(estorno, await estorno.register(paymentsFor(load)), load);
        print(`saturated at ${perSecond.toFixed(1)} refunds/s`);
        return overload(estorno, { perSecond, seconds: OVERLOAD_SECONDS });
      });
    case 'partials': {
      const simulators = await simulatorsSeat(place, site.serviceEnv);
      await simulators.start();
      try {
        return await withOurs(
          { ...site, serviceEnv: { ...site.serviceEnv, ...simulators.env() } },
          place,
          (estorno) => {
            simulators.tellTarget(new URL(estorno.webhookUrl).origin);
            return measurePartials(estorno, simulators.address, options.count ?? PARTIALS);
          },
        );
      } finally {
        await simulators.stop();
      }
    }
    case 'waiting':
      return withOurs(site, place, (estorno) =>
        measureWaiting(estorno, site.meters, options.count ?? WAITING, print),
      );
    default:
      return assertNever(options.measure);
  }
}

function startOurs(site: Site, place: SeatPlace, workers = 1): Promise<Estorno> {
  return startEstorno({ ...place, env: site.serviceEnv, databaseUrl: site.databaseUrl, workers });
}

async function withOurs<Result>(
  site: Site,
  place: SeatPlace,
  work: (estorno: Estorno) => Promise<Result>,
): Promise<Result> {
  const estorno = await startOurs(site, place);
  try {
    return await work(estorno);
  } finally {
    await estorno.stop();
  }
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      server: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '10' },
      measure: { type: 'string', default: 'sagas' },
      count: { type: 'string' },
      keep: { type: 'boolean', default: false },
    },
  });
  const [rounds, seconds, count] = [values.rounds, values.seconds, values.count ?? '1'].map(Number);
  const measured = MEASURES.find((name) => name === values.measure);
  if (
    ![rounds, seconds, count].every((value) => Number.isSafeInteger(value) && Number(value) > 0) ||
    !measured
  ) {
    throw new Error(USAGE);
  }
  const address = process.env['TEMPORAL_ADDRESS'];
  const own = values.server ? ('server' as const) : ('dev' as const);
  return {
    engine: address === undefined ? own : { address },
    rounds: Number(rounds),
    seconds: Number(seconds),
    measure: measured,
    count: values.count === undefined ? null : Number(count),
    keep: values.keep,
  };
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
