import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { outputOf, runNode, startNode } from '../src/embedded/parts.js';
import { startPostgres } from '../src/embedded/postgres.js';
import { readProcessRecord } from '../src/embedded/process-record.js';
import { startTemporal } from '../src/embedded/temporal.js';
import { program, quietPort, type SeatPlace } from '../lab/seats.js';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.js';
import { openMeters, type Meters } from './meters.js';
import { startTemporalServer } from './temporal-server.js';
import { TEMPORAL_SERVER_VERSION } from './temporal-server-binaries.js';

export interface SiteOptions extends SeatPlace {
  /** A server that runs already, or one of our own. */
  readonly engine: { readonly address: string } | 'dev' | 'server';
  readonly log: (line: string) => void;
}

/** Nothing else of the shell that started us reaches those that are measured. */
export const PATH = '/usr/local/bin:/usr/bin:/bin';

/** What all contenders share: the engine, PostgreSQL, the provider. */
export interface Site {
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  readonly engineName: string;
  readonly provider: { readonly origin: string; readonly apiKey: string };
  readonly client: Client;
  readonly meters: Meters;
  /** Where the provider's webhooks go from now on. */
  tellTarget(url: string): Promise<void>;
  /** Everything that was written is flushed, and the provider remembers nothing. */
  settleDown(): Promise<void>;
  /** Of our service, secrets included. */
  readonly serviceEnv: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export async function startSite(options: SiteOptions): Promise<Site> {
  const { dataDir, log } = options;
  const closers: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.toReversed()) await closer().catch(() => undefined);
  };
  try {
    const postgres = await startPostgres({ dataDir, durable: true, log, port: await quietPort() });
    closers.push(() => postgres.stop());
    const engine = await startEngine(options, postgres.url);
    closers.push(engine.stop);
    const provider = await startProvider(options);
    closers.push(provider.stop);
    const serviceEnv = serviceSettings(options, postgres.url, engine.address, provider);
    await runNode({ ...program(options, 'migrate'), env: serviceEnv });
    const meters = await openMeters({
      databaseUrl: postgres.url,
      postmasterPid: pidFrom(join(dataDir, 'postgres.json')),
      enginePid: engine.pid,
      engineMetricsUrl: engine.metricsUrl,
    });
    closers.push(() => meters.close());
    const connection = await Connection.connect({ address: engine.address });
    closers.push(() => connection.close());
    const db = new pg.Pool({ connectionString: postgres.url, application_name: 'bench', max: 1 });
    closers.push(() => db.end());
    return {
      databaseUrl: postgres.url,
      temporalAddress: engine.address,
      engineName: engine.name,
      provider,
      client: new Client({ connection }),
      meters,
      tellTarget: (url) => provider.tell('target', { url }),
      settleDown: async () => {
        await provider.tell('forget', {});
        await db.query('CHECKPOINT');
      },
      serviceEnv,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Engine {
  readonly name: string;
  readonly address: string;
  readonly pid: number | null;
  readonly metricsUrl: string | null;
  readonly stop: () => Promise<void>;
}

async function startEngine({ dataDir, engine, log }: SiteOptions, databaseUrl: string): Promise<Engine> {
  if (typeof engine === 'object') {
    const stop = (): Promise<void> => Promise.resolve();
    return { name: engine.address, address: engine.address, pid: null, metricsUrl: null, stop };
  }
  if (engine === 'server') {
    const server = await startTemporalServer({ dataDir, databaseUrl, log });
    return { ...server, name: `Temporal server ${TEMPORAL_SERVER_VERSION} on PostgreSQL` };
  }
  const server = await startTemporal({
    ...{ dataDir, log, port: await quietPort(), uiPort: null },
    searchAttributes: SEARCH_ATTRIBUTES,
  });
  return { ...server, name: 'the Temporal dev server', pid: pidFrom(join(dataDir, 'temporal.json')) };
}

async function startProvider(options: SeatPlace) {
  const apiKey = randomBytes(24).toString('hex');
  const child = startNode({
    name: 'provider',
    script: join(options.builtDir, 'bench', 'provider.js'),
    env: { PATH, PAGOU_API_KEY: apiKey },
    dataDir: options.dataDir,
    readsOutput: true,
  });
  const lines = createInterface({ input: outputOf(child) });
  const line = await new Promise<string>((resolve) => lines.once('line', resolve));
  const { origin } = JSON.parse(line) as { origin: string };
  return {
    origin,
    apiKey,
    tell: async (what: 'target' | 'forget', body: object) => {
      const answer = await fetch(`${origin}/-/${what}`, { method: 'POST', body: JSON.stringify(body) });
      if (!answer.ok) throw new Error(`the provider answered ${answer.status}`);
    },
    stop: () => child.stop('SIGTERM', 1_000),
  };
}

/** As one would run it, audit included; only the limit of requests is out of the way. */
function serviceSettings(
  { dataDir }: SeatPlace,
  databaseUrl: string,
  temporalAddress: string,
  provider: { readonly origin: string; readonly apiKey: string },
): Record<string, string> {
  const keyRing = (): string => `bench:${randomBytes(32).toString('base64')}`;
  return {
    PATH,
    HOME: dataDir,
    NODE_ENV: 'production',
    DATA_DIR: dataDir,
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: temporalAddress,
    FRONT_DOOR_KEYS: keyRing(),
    AUDIT_KEYS: keyRing(),
    PAGOU_BASE_URL: provider.origin,
    PAGOU_API_KEY: provider.apiKey,
    RATE_LIMIT_PER_SECOND: '100000',
    RATE_LIMIT_BURST: '1000000',
  };
}

function pidFrom(recordFile: string): number {
  const record = readProcessRecord(recordFile);
  if (!record) throw new Error(`nothing runs by ${recordFile}`);
  return record.pid;
}
