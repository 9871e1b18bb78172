import { mkdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { startChild } from './children.js';
import { freePort } from './ports.js';
import { readProcessRecord, writeProcessRecord } from './process-record.js';
import { findTemporalBinary } from './temporal-binary.js';

export interface TemporalOptions {
  readonly dataDir: string;
  /** True unless given: its histories outlive it. */
  readonly durable?: boolean;
  /** Name to type, as `workflows/messages.ts` has them. */
  readonly searchAttributes: Readonly<Record<string, 'KEYWORD' | 'INT' | 'DATETIME'>>;
  readonly log: (line: string) => void;
  /** 7233 unless given; busy, or 0: a free one. */
  readonly port?: number;
  /** 8233 unless given; busy: a free one; null: no UI. */
  readonly uiPort?: number | null;
  /** Where its UI has payloads opened; none unless given. */
  readonly uiCodecEndpoint?: string | null;
  /** Made at the start; `default` unless given. */
  readonly namespace?: string;
  /** Added to what every start gets. */
  readonly dynamicConfig?: Readonly<Record<string, string>>;
}

export interface TemporalPlace {
  readonly address: string;
  readonly namespace: string;
  /** Null where it runs without a UI. */
  readonly uiUrl: string | null;
}

export interface RunningTemporal extends TemporalPlace {
  /** Its own figures, in Prometheus' format; null where it does not say where they are. */
  readonly metricsUrl: string | null;
  /** Resolves when it ends without being asked to; the text says why. */
  readonly died: Promise<string>;
  stop(): Promise<void>;
}

/**
 * A Temporal dev server on loopback whose histories lie under the data directory.
 * @throws Error whose message says what was tried and what to do.
 */
export async function startTemporal(options: TemporalOptions): Promise<RunningTemporal> {
  const binary = await findTemporalBinary(resolve(options.dataDir), options.log);
  try {
    return await startAt(binary, await choosePlace(options), options);
  } catch (error) {
    // Most likely somebody took one of its ports between its look and its bind: its own words are a stack of calls.
    if (!/exited with/.test((error as Error).message)) throw error;
    return startAt(binary, await choosePlace({ ...options, port: 0, ...withFreeUiPort(options) }), options);
  }
}

function withFreeUiPort({ uiPort }: TemporalOptions): Pick<TemporalOptions, 'uiPort'> {
  return { uiPort: uiPort === null ? null : 0 };
}

async function startAt(
  binary: string,
  place: TemporalPlace,
  options: TemporalOptions,
): Promise<RunningTemporal> {
  const dataDir = resolve(options.dataDir);
  mkdirSync(join(dataDir, 'temporal'), { recursive: true });

  const server = startChild({
    name: 'temporal',
    command: binary,
    args: [
      ...['server', 'start-dev', '--log-level', 'warn', '--ip', HOST],
      ...['--port', portOf(`http://${place.address}`), '--namespace', place.namespace],
      ...(place.uiUrl === null ? ['--headless'] : ['--ui-ip', HOST, '--ui-port', portOf(place.uiUrl)]),
      ...(options.uiCodecEndpoint == null || place.uiUrl === null
        ? []
        : ['--ui-codec-endpoint', options.uiCodecEndpoint]),
      ...(options.durable === false ? [] : ['--db-filename', join(dataDir, 'temporal', 'temporal.db')]),
      ...pairs('--sqlite-pragma', { journal_mode: 'WAL', synchronous: 'normal' }),
      ...pairs('--dynamic-config-value', { ...FAST_ENOUGH_FOR_ONE_SHARD, ...options.dynamicConfig }),
      ...pairs('--search-attribute', cliTypes(options.searchAttributes)),
    ],
    // The CLI would read a user's own profile, and with it another server's address.
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: join(dataDir, 'temporal') },
    logFile: join(dataDir, 'logs', 'temporal.log'),
    orphanSignal: 'TERM',
  });

  const startedAtMs = Date.now();
  const deadline = startedAtMs + START_TIMEOUT_MS;
  // Another server on that port would answer too: ours has told its addresses, or has lived for a while.
  const isOurs = (): boolean =>
    server.logTail().includes('Temporal Metrics') || Date.now() - startedAtMs > BIND_FAILS_WITHIN_MS;
  while (!(isOurs() && (await isReady(place, Object.keys(options.searchAttributes)))) || server.hasEnded()) {
    if (server.hasEnded() || Date.now() > deadline) {
      await server.stop('SIGTERM', STOP_TIMEOUT_MS);
      throw new Error(
        `The embedded Temporal server (${binary}) did not get ready: ${await server.ended}.\n${server.logTail()}\n` +
          'Set TEMPORAL_ADDRESS to use a server of your own.',
      );
    }
    await pause(LOOK_EVERY_MS);
  }
  writeProcessRecord(recordFile(dataDir), server.pid, place satisfies TemporalPlace);
  return {
    ...place,
    metricsUrl: /Temporal Metrics:\s*(http\S+)/.exec(server.logTail())?.[1] ?? null,
    died: server.ended.then((why) => `${why}\n${server.logTail()}`),
    stop: async () => {
      await server.stop('SIGTERM', STOP_TIMEOUT_MS);
      rmSync(recordFile(dataDir), { force: true });
    },
  };
}

/** The one that runs under the data directory, for commands that start nothing; null where none does. */
export function runningTemporal(dataDir: string): TemporalPlace | null {
  return readProcessRecord<TemporalPlace>(recordFile(resolve(dataDir)))?.facts ?? null;
}

const HOST = '127.0.0.1';
const PORT_PREFERRED = 7233;
const UI_PORT_PREFERRED = 8233;
const START_TIMEOUT_MS = 60_000;
const BIND_FAILS_WITHIN_MS = 3_000;
const STOP_TIMEOUT_MS = 10_000;
const LOOK_EVERY_MS = 25;

// The defaults poll the only shard 20 times a second, which costs 50 ms a workflow task, and let a task that failed while
// workers died wait for minutes.
const FAST_ENOUGH_FOR_ONE_SHARD = {
  'history.transferProcessorMaxPollRPS': '2000',
  'history.timerProcessorMaxPollRPS': '2000',
  'history.workflowTaskRetryMaxInterval': '"5s"',
};

async function choosePlace(options: TemporalOptions): Promise<TemporalPlace> {
  const port = await freePort(options.port ?? PORT_PREFERRED);
  const uiPort = options.uiPort === null ? null : await freePort(options.uiPort ?? UI_PORT_PREFERRED);
  return {
    address: `${HOST}:${port}`,
    namespace: options.namespace ?? 'default',
    uiUrl: uiPort === null ? null : `http://${HOST}:${uiPort}`,
  };
}

/** Serving, with the namespace and the search attributes that workflows are started with. */
async function isReady(place: TemporalPlace, searchAttributes: readonly string[]): Promise<boolean> {
  // A gRPC call to a port where nobody listens yet would use up its whole deadline.
  if (!(await isListening(place.address))) return false;
  const connection = Connection.lazy({ address: place.address, connectTimeout: '2s' });
  try {
    return await connection.withDeadline(Date.now() + 2_000, async () => {
      await connection.workflowService.describeNamespace({ namespace: place.namespace });
      const { customAttributes } = await connection.operatorService.listSearchAttributes({
        namespace: place.namespace,
      });
      return searchAttributes.every((name) => name in customAttributes);
    });
  } catch {
    return false;
  } finally {
    await connection.close();
  }
}

function isListening(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port: Number(portOf(`http://${address}`)) });
    const answer = (listens: boolean) => {
      socket.destroy();
      resolve(listens);
    };
    socket.once('connect', () => answer(true)).once('error', () => answer(false));
  });
}

function cliTypes(attributes: TemporalOptions['searchAttributes']): Record<string, string> {
  const types = { KEYWORD: 'Keyword', INT: 'Int', DATETIME: 'Datetime' };
  return Object.fromEntries(Object.entries(attributes).map(([name, type]) => [name, types[type]]));
}

function pairs(flag: string, values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [flag, `${name}=${value}`]);
}

function portOf(url: string): string {
  return new URL(url).port;
}

function recordFile(dataDir: string): string {
  return join(dataDir, 'temporal.json');
}
