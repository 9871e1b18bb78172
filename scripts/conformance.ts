import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { startChild, type Child } from '../src/embedded/children.js';
import { watchForEnding } from '../src/embedded/ending.js';
import { runNode } from '../src/embedded/parts.js';
import { startSite, type Site } from '../lab/site.js';
import { whatIsWrong } from './conformance-aftermath.js';
import { furnish, policyFor } from './conformance-scene.js';

const USAGE = 'usage: npm run conformance -- [--seed 1] [--examples 200] [--keep]';
const EXIT_INTERRUPTED = 130;
const RUN_WITHIN_MS = 420_000;
const BUILT_DIR = fileURLToPath(new URL('..', import.meta.url));
const CONFORMANCE_DIR = join(BUILT_DIR, '..', 'test', 'conformance');
const ROLES = ['viewer', 'requester', 'approver', 'operator', 'admin'];

/** Run side by side, as schemathesis keeps one core busy. Together they are all operations and all phases. */
const SHARES: Readonly<Record<string, readonly string[]>> = {
  refunds: ['--phases', 'examples,coverage,fuzzing', '--include-path-regex', '^/v1/refunds'],
  payments: ['--phases', 'examples,coverage,fuzzing', '--include-path-regex', '^/v1/(payments|webhook-end)'],
  others: [
    '--phases',
    'examples,coverage,fuzzing',
    '--exclude-path-regex',
    '^/v1/(refunds|payments|webhook-end)',
  ],
  sequences: ['--phases', 'stateful'],
};

/** `npm run conformance`: the running service against its own document. 0 where nothing is found, else 1. */
async function main(): Promise<number> {
  const options = readOptions();
  const ending = watchForEnding(true);
  const dataDir = await mkdtemp(join(tmpdir(), 'estorno-conformance-'));
  const children: Child[] = [];
  const starting = startTestedSite(dataDir);
  const run = async (): Promise<number> => {
    const site = await starting;
    const key = await allRolesKey(site, dataDir);
    await cp(CONFORMANCE_DIR, dataDir, { recursive: true });
    await furnish(site, key, dataDir);
    const reports = await runShares(site, key, dataDir, options, children);
    const wrong = await whatIsWrong(site, { dataDir, builtDir: BUILT_DIR });
    return tell(reports, wrong, options);
  };
  try {
    return await Promise.race([
      run(),
      ending.asked.then(() => EXIT_INTERRUPTED),
      pause(RUN_WITHIN_MS, undefined, { ref: false }).then(() => {
        throw new Error(`It did not end within ${RUN_WITHIN_MS / 1_000} s`);
      }),
    ]);
  } finally {
    await Promise.all(children.map((child) => child.stop('SIGKILL', 0)));
    await starting.then((site) => site.close()).catch(() => undefined);
    if (options.keep) print(`Kept: ${dataDir}`);
    else await rm(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

interface Options {
  readonly seed: string;
  readonly examples: string;
  readonly keep: boolean;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      examples: { type: 'string', default: '200' },
      keep: { type: 'boolean', default: false },
    },
  });
  if (![values.seed, values.examples].every((text) => /^\d{1,9}$/.test(text))) throw new Error(USAGE);
  return values;
}

async function startTestedSite(dataDir: string): Promise<Site> {
  const guard = pathToFileURL(join(CONFORMANCE_DIR, 'loopback-only.mjs')).href;
  return startSite({
    ...{ dataDir, builtDir: BUILT_DIR, apis: 1, workers: 1 },
    settings: {
      WEBHOOK_ALLOW_PRIVATE: 'true',
      NODE_OPTIONS: `--import=${guard}`,
      POLICY_FILE: await policyFor(dataDir),
    },
  });
}

function allRolesKey({ settings }: Site, dataDir: string): Promise<string> {
  const script = join(BUILT_DIR, 'src', 'key.js');
  const args = ['create', '--actor', 'ada', ...ROLES.flatMap((role) => ['--role', role])];
  return runNode({ name: 'key-of-all-roles', script, args, dataDir, env: settings });
}

const reportShape = z.object({
  complete: z.boolean(),
  operations: z.object({ total: z.int(), tested: z.int() }),
  test_cases: z.object({ generated: z.int(), unique_failures: z.int() }),
  errors: z.array(z.unknown()),
  filtered: z.int(),
});
type Report = z.output<typeof reportShape>;

async function runShares(
  { apiOrigins: [origin] }: Site,
  key: string,
  dataDir: string,
  { seed, examples }: Options,
  children: Child[],
): Promise<Record<string, Report>> {
  const runShare = async ([name, selection]: [string, readonly string[]]): Promise<[string, Report]> => {
    const report = join(dataDir, `${name}.json`);
    const child = startChild({
      name: `schemathesis (${name})`,
      command: process.env['SCHEMATHESIS'] ?? 'schemathesis',
      args: [
        ...['--config-file', join(dataDir, 'schemathesis.toml'), 'run', `${origin}/openapi.json`],
        ...['--checks', 'all', '--seed', seed, '--max-examples', name === 'sequences' ? '100' : examples],
        ...['--no-color', '--report', 'json', '--report-json-path', report],
        ...selection,
      ],
      env: {
        PATH: process.env['PATH'],
        PYTHONPATH: dataDir,
        HYPOTHESIS_STORAGE_DIRECTORY: join(dataDir, 'hypothesis'),
        ESTORNO_KEY: key,
      },
      logFile: join(dataDir, 'logs', `${name}.log`),
      orphanSignal: 'KILL',
    });
    children.push(child);
    const why = await child.ended;
    const text = await readFile(report, 'utf8').catch(() => null);
    if (text === null) {
      throw new Error(
        `${child.name} ${why}: ${child.logTail()}\n` +
          'SCHEMATHESIS names its command; test/conformance/requirements.txt says which one.',
      );
    }
    const found = reportShape.parse(JSON.parse(text));
    if (found.test_cases.unique_failures + found.errors.length > 0 || !found.complete) {
      print(await readFile(join(dataDir, 'logs', `${name}.log`), 'utf8'));
    }
    return [name, found];
  };
  return Object.fromEntries(await Promise.all(Object.entries(SHARES).map(runShare)));
}

function tell(reports: Record<string, Report>, wrong: readonly string[], { seed }: Options): number {
  const all = Object.values(reports);
  const sum = (count: (report: Report) => number): number =>
    all.reduce((total, each) => total + count(each), 0);
  const { sequences, ...shares } = reports;
  const tested = Object.values(shares).reduce((total, each) => total + each.operations.tested, 0);
  const total = sequences?.operations.total ?? 0;
  const failures = sum((each) => each.test_cases.unique_failures + each.errors.length);
  const unfinished = all.filter((each) => !each.complete).length;
  for (const line of wrong) print(line);
  print(
    `conformance: ${tested} of ${total} operations, ${sum((each) => each.test_cases.generated)} cases, ` +
      `${failures} failures, ${sum((each) => each.filtered)} refusals that no schema can foretell, ` +
      `${unfinished} runs unfinished, ${wrong.length} wrong afterwards (seed ${seed})`,
  );
  return failures + unfinished + wrong.length === 0 && tested === total && total > 0 ? 0 : 1;
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
