import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.js';
import { providerSettingPrefix, readConfig, type Config } from './config.js';
import type { Child } from './embedded/children.js';
import { runDemo } from './embedded/demo.js';
import { keepDemoSecrets, readDemoSecrets } from './embedded/demo-secrets.js';
import { watchForEnding, type Ending } from './embedded/ending.js';
import {
  addPart,
  failed,
  noPartsYet,
  runNode,
  servicePart,
  startNode,
  stopParts,
  untilReady,
  whileAllLive,
  type Part,
  type Parts,
} from './embedded/parts.js';
import { printPlaces, type Started } from './embedded/places.js';
import { freePort, isPortFree } from './embedded/ports.js';
import { startPostgres } from './embedded/postgres.js';
import { claimProcessRecord } from './embedded/process-record.js';
import { startSimulators, type Simulators, type SimulatorsOptions } from './embedded/simulators.js';
import { startTemporal, type RunningTemporal } from './embedded/temporal.js';
import { serveUiCodec, type UiCodec } from './embedded/ui-codec.js';
import { readPolicy } from './policy.js';

/**
 * What `npm start` does: brings up whatever the environment does not name, runs the demo, serves until Ctrl-C.
 * @returns the exit code.
 * @throws Error whose message says what is wrong and what to do.
 */
export async function runDev(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const options = readOptions(args);
  const config = readConfig(env);
  // Whatever the person has to mend is told before anything is brought up.
  readPolicy(config.policyFile);
  claimDataDir(config.dataDir);
  await choosePort(env, API.portSetting, config.port, config.host);
  await choosePort(env, WORKER.portSetting, config.workerHealthPort, config.host);
  const launch: Launch = {
    config,
    env,
    given: whatIsGiven(config, env),
    ending: watchForEnding(env['npm_lifecycle_event'] !== undefined),
    ...noPartsYet(),
  };
  const asked = launch.ending.asked.then(() => null);
  try {
    const started = await Promise.race([startEverything(launch), asked]);
    if (started === null) return EXIT_INTERRUPTED;
    launch.phase = 'serving';
    const demo = await Promise.race([demonstrate(started, options.demo, launch), asked]);
    if (options.once) return demo === 'succeeded' ? 0 : 1;
    await Promise.race([printPlaces(started, config.dataDir, print), asked]);
    const death = await Promise.race([launch.death, asked]);
    if (death !== null) throw new Error(death);
    return 0;
  } finally {
    if (launch.ending.wasAsked()) print('Stopping');
    await stopParts(launch, launch.ending.hurried);
  }
}

const EXIT_INTERRUPTED = 130;
/** The API and the worker drain within 30 s. */
const DRAIN_MS = 30_000;
const SIMULATORS_STOP_MS = 3_000;
const SIMULATORS_READY = 'The simulators of all five providers are ready';
/** An unclear attempt of the demo shall not keep anybody waiting for a quarter of an hour. */
const DEMO_QUIET_MS = 2_000;
const PORT_TRIES_MAX = 3;
const API = { name: 'api', entry: 'main.js', portSetting: 'PORT', listening: 'the API listens' };
const WORKER = {
  name: 'worker',
  entry: 'worker.js',
  portSetting: 'WORKER_HEALTH_PORT',
  listening: 'worker health is served',
};
const ROLES = ['viewer', 'requester', 'approver', 'operator', 'admin'];

interface Launch extends Parts {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly given: Given;
  readonly ending: Ending;
}

/** Names of settings that name a part, so that its embedded twin stays off. */
interface Given {
  readonly database: readonly string[];
  readonly temporal: readonly string[];
  readonly providers: readonly string[];
}

function readOptions(args: readonly string[]): { readonly once: boolean; readonly demo: boolean } {
  const { values } = parseArgs({
    args: [...args],
    options: { once: { type: 'boolean', default: false }, 'no-demo': { type: 'boolean', default: false } },
  });
  if (values.once && values['no-demo']) {
    throw new Error('--once ends after the demo, so it does not go with --no-demo');
  }
  return { once: values.once, demo: !values['no-demo'] };
}

function claimDataDir(dataDir: string): void {
  mkdirSync(dataDir, { recursive: true });
  const holderPid = claimProcessRecord(join(dataDir, 'launcher.json'));
  if (holderPid === null) return;
  throw new Error(
    `npm start already runs on ${dataDir} (pid ${holderPid}). Stop it, or set DATA_DIR to another folder for a second one.`,
  );
}

function whatIsGiven(config: Config, env: NodeJS.ProcessEnv): Given {
  const set = Object.keys(env).filter((name) => env[name] !== undefined && env[name] !== '');
  const prefixes = config.providers.map(({ definition }) => providerSettingPrefix(definition.name));
  return {
    database: config.databaseUrl === null ? [] : ['DATABASE_URL'],
    temporal: config.temporalGiven ? set.filter((name) => name.startsWith('TEMPORAL_')) : [],
    providers: set.filter((name) => prefixes.some((prefix) => name.startsWith(prefix))),
  };
}

async function startEverything(launch: Launch): Promise<Started> {
  const { config, env, given } = launch;
  const secrets = readDemoSecrets(config.dataDir);
  // Before Temporal, whose UI is told of it at its start. Where the keys of the API are not ours it has none to send.
  const uiCodec = given.temporal.length === 0 && config.databaseUrl === null ? await serveUiCodec() : null;
  const [databaseUrl, temporal, simulators] = await whileAllLive(
    launch,
    Promise.all([
      config.databaseUrl ?? bringUpPostgres(launch),
      given.temporal.length > 0 ? null : bringUpTemporal(launch, uiCodec),
      given.providers.length > 0 ? null : bringUpSimulators(launch, secrets.simulators),
    ]),
  );
  if (simulators !== null) keepDemoSecrets(config.dataDir, { ...secrets, simulators: simulators.env });

  const childEnv: NodeJS.ProcessEnv = {
    ...env,
    DATA_DIR: config.dataDir,
    DATABASE_URL: databaseUrl,
    PAYLOAD_KEYS: env['PAYLOAD_KEYS'] || secrets.PAYLOAD_KEYS,
    FRONT_DOOR_KEYS: env['FRONT_DOOR_KEYS'] || secrets.FRONT_DOOR_KEYS,
    AUDIT_KEYS: env['AUDIT_KEYS'] || secrets.AUDIT_KEYS,
    CODEC_CORS_ORIGINS: env['CODEC_CORS_ORIGINS'] || (temporal?.uiUrl ?? ''),
    ...(temporal === null ? {} : withoutTemporalSettings(env)),
    ...(simulators === null
      ? {}
      : { PROVIDER_QUIET_MS: env['PROVIDER_QUIET_MS'] || String(DEMO_QUIET_MS), ...simulators.env }),
  };
  await runNode({ name: 'migrate', script: entryPath('migrate.js'), env: childEnv, dataDir: config.dataDir });

  const [apiKeys, apiOrigin, workerOrigin] = await whileAllLive(
    launch,
    Promise.all([
      config.databaseUrl === null ? demoApiKeys(launch, childEnv) : null,
      bringUpService(launch, { ...API, port: config.port }, childEnv),
      bringUpService(launch, { ...WORKER, port: config.workerHealthPort }, childEnv),
    ]),
  );
  if (simulators !== null) {
    const body = JSON.stringify({ url: apiOrigin });
    await fetch(`${simulators.control}/webhook-target`, { method: 'POST', body });
  }
  const apiKey = apiKeys?.['operator'];
  if (temporal?.uiUrl && apiKey !== undefined) {
    uiCodec?.connect({ uiOrigin: temporal.uiUrl, apiOrigin, apiKey });
  }
  return { apiOrigin, workerOrigin, apiKeys, temporal, controlOrigin: simulators?.control ?? null };
}

async function bringUpPostgres(launch: Launch): Promise<string> {
  let url = '';
  const start = async (): Promise<Part> => {
    const postgres = await startPostgres({ dataDir: launch.config.dataDir, durable: true, log: print });
    ({ url } = postgres);
    print('PostgreSQL is ready');
    return { name: 'PostgreSQL', layer: 'postgres', ...postgres, kill: () => undefined, again: start };
  };
  addPart(launch, await start(), print);
  return url;
}

async function bringUpTemporal(launch: Launch, uiCodec: UiCodec | null): Promise<RunningTemporal> {
  const namespace = launch.env['TEMPORAL_NAMESPACE'];
  const start = async (place: { port?: number; uiPort?: number }): Promise<RunningTemporal> => {
    const temporal = await startTemporal({
      dataDir: launch.config.dataDir,
      searchAttributes: SEARCH_ATTRIBUTES,
      log: print,
      uiCodecEndpoint: uiCodec?.endpoint ?? null,
      ...place,
      ...(namespace === undefined || namespace === '' ? {} : { namespace }),
    });
    print('Temporal is ready');
    return temporal;
  };
  const part = (temporal: RunningTemporal): Part => ({
    name: 'Temporal',
    layer: 'temporal',
    ...temporal,
    kill: () => undefined,
    again: async () => part(await start(samePlace(temporal))),
  });
  const temporal = await start({});
  addPart(launch, part(temporal), print);
  return temporal;
}

/** Whoever knows its address shall find it there again. */
function samePlace({ address, uiUrl }: RunningTemporal): { port: number; uiPort?: number } {
  const portOf = (origin: string): number => Number(new URL(origin).port);
  return { port: portOf(`http://${address}`), ...(uiUrl === null ? {} : { uiPort: portOf(uiUrl) }) };
}

async function bringUpSimulators(
  launch: Launch,
  last: Readonly<Record<string, string>> | null,
): Promise<Simulators> {
  const options: SimulatorsOptions = {
    script: fileURLToPath(new URL('../simulators/main.js', import.meta.url)),
    dataDir: launch.config.dataDir,
    env: launch.env,
    last,
  };
  const [child, simulators] = await startSimulators(options);
  print(SIMULATORS_READY);
  const part = (simulating: Child): Part =>
    servicePart(simulating, SIMULATORS_STOP_MS, async () => {
      const controlPort = Number(new URL(simulators.control).port);
      const [next, { env }] = await startSimulators({ ...options, last: simulators.env, controlPort });
      print(SIMULATORS_READY);
      // The API and the worker know the old addresses.
      if (!isDeepStrictEqual(env, simulators.env)) failed(next, 'lost a port to another program');
      return part(next);
    });
  addPart(launch, part(child), print);
  return simulators;
}

/** A key or profile meant for another server must not reach the embedded one, which is found under DATA_DIR. */
function withoutTemporalSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = Object.keys(env).filter((name) => name.startsWith('TEMPORAL_'));
  return Object.fromEntries(names.map((name) => [name, undefined]));
}

interface Service {
  readonly name: string;
  readonly entry: string;
  readonly portSetting: string;
  /** What it logs once it has its port. */
  readonly listening: string;
  /** The wanted one; another where it is busy and nobody insisted. */
  readonly port: number;
}

/** Started and ready. Whoever else took the port between our look and its bind is met by another port. */
async function bringUpService(launch: Launch, service: Service, env: NodeJS.ProcessEnv): Promise<string> {
  const { name, entry, portSetting } = service;
  const { host, dataDir } = launch.config;
  for (let tries = 1; ; tries += 1) {
    const port = await choosePort(launch.env, portSetting, service.port, host);
    const start = (): Child =>
      startNode({ name, script: entryPath(entry), env: { ...env, [portSetting]: String(port) }, dataDir });
    const part = (child: Child): Part => servicePart(child, DRAIN_MS, () => Promise.resolve(part(start())));
    const child = start();
    try {
      await untilReady(originOf(host, port), child, service.listening);
    } catch (error) {
      const lostThePort = /EADDRINUSE/.test((error as Error).message) && !launch.env[portSetting];
      if (!lostThePort || tries === PORT_TRIES_MAX) throw error;
      continue;
    }
    addPart(launch, part(child), print);
    print(`The ${name === API.name ? 'API' : name} is ready at ${originOf(host, port)}`);
    return originOf(host, port);
  }
}

async function choosePort(
  env: NodeJS.ProcessEnv,
  name: string,
  wanted: number,
  host: string,
): Promise<number> {
  const isFree = wanted !== 0 && (await isPortFree(wanted, host));
  if (isFree) return wanted;
  if (env[name] && wanted !== 0) {
    throw new Error(`${name} is set to ${wanted}, but nothing can listen there on ${host}: it is busy`);
  }
  return freePort(0, host);
}

function entryPath(entry: string): string {
  return fileURLToPath(new URL(`./${entry}`, import.meta.url));
}

/** Wildcard addresses are for listening; nobody can be sent there. */
function originOf(host: string, port: number): string {
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

/** Last time's keys where the database still knows them, else new ones, a role each. */
async function demoApiKeys(
  launch: Launch,
  env: NodeJS.ProcessEnv,
): Promise<Readonly<Record<string, string>>> {
  const { dataDir } = launch.config;
  const runKey = (args: readonly string[]) =>
    runNode({ name: 'key', script: entryPath('key.js'), args, env, dataDir });
  const known = await runKey(['list']);
  const kept = readDemoSecrets(dataDir).apiKeys;
  if (ROLES.every((role) => kept[role] !== undefined && known.includes(`\tdemo-${role}\t`))) return kept;
  const created = await Promise.all(
    ROLES.map(async (role) => [role, await runKey(['create', '--actor', `demo-${role}`, '--role', role])]),
  );
  const apiKeys = Object.fromEntries(created) as Record<string, string>;
  keepDemoSecrets(dataDir, { ...readDemoSecrets(dataDir), apiKeys });
  return apiKeys;
}

async function demonstrate(
  started: Started,
  isWanted: boolean,
  launch: Launch,
): Promise<'succeeded' | 'failed' | 'skipped'> {
  if (!isWanted) return 'skipped';
  const { apiKeys, controlOrigin, temporal } = started;
  const requesterKey = apiKeys?.['requester'];
  const given = Object.values(launch.given).flat();
  if (requesterKey === undefined || controlOrigin === null || temporal === null) {
    print(
      `The demo is skipped: it runs on embedded parts alone, and these settings name others: ${given.join(', ')}`,
    );
    return 'skipped';
  }
  const haveSucceeded = await whileAllLive(
    launch,
    runDemo(
      {
        apiOrigin: started.apiOrigin,
        requesterKey,
        controlOrigin,
        temporalUiUrl: temporal.uiUrl,
        namespace: temporal.namespace,
        providers: launch.config.providers.map(({ definition }) => definition.name),
      },
      print,
    ),
  );
  return haveSucceeded ? 'succeeded' : 'failed';
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
