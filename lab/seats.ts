import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Child } from '../src/embedded/children.js';
import { startNode, type NodeProgram } from '../src/embedded/parts.js';
import { isPortFree } from '../src/embedded/ports.js';
import { startPostgres, type RunningPostgres } from '../src/embedded/postgres.js';
import { readProcessRecord } from '../src/embedded/process-record.js';
import { startSimulators } from '../src/embedded/simulators.js';
import { startTemporal, type RunningTemporal } from '../src/embedded/temporal.js';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.js';

/** Where seats find what they run, and where they store. */
export interface SeatPlace {
  /** Absolute; everything that is stored and logged lies in it. */
  readonly dataDir: string;
  /** Absolute: the folder of the compiled service. */
  readonly builtDir: string;
}

/** A place in the site, and the process that sits in it now. */
export interface Seat {
  readonly address: string;
  start(): Promise<void>;
  /** Null while nothing runs there. */
  pid(): number | null;
  /** Resolves when what runs there is gone, in words. */
  gone(): Promise<string>;
  stop(): Promise<void>;
}

export function postgresSeat({ dataDir }: SeatPlace, port: number): Seat {
  let running: RunningPostgres | null = null;
  return {
    get address() {
      return running?.url ?? '';
    },
    start: async () => {
      const started = await startPostgres({ dataDir, durable: true, log: () => undefined, port });
      if (new URL(started.url).port !== String(port)) throw new Error(`PostgreSQL lost port ${port}`);
      running = started;
    },
    pid: () => readProcessRecord(join(dataDir, 'postgres.json'))?.pid ?? null,
    gone: async () => (await running?.died) ?? '',
    stop: async () => running?.stop(),
  };
}

export function temporalSeat({ dataDir }: SeatPlace, port: number): Seat {
  let running: RunningTemporal | null = null;
  const address = `127.0.0.1:${port}`;
  return {
    address,
    start: async () => {
      const log = (): void => undefined;
      const started = await startTemporal({
        ...{ dataDir, log, port, uiPort: null },
        searchAttributes: SEARCH_ATTRIBUTES,
      });
      if (started.address === address) {
        running = started;
        return;
      }
      await started.stop();
      throw new Error(`Temporal lost port ${port}`);
    },
    pid: () => readProcessRecord(join(dataDir, 'temporal.json'))?.pid ?? null,
    gone: async () => (await running?.died) ?? '',
    stop: async () => running?.stop(),
  };
}

export interface SimulatorsSeat extends Seat {
  env(): Readonly<Record<string, string>>;
  /** Where webhooks go, from every start on. */
  tellTarget(url: string | null): void;
}

export async function simulatorsSeat(options: SeatPlace, env: NodeJS.ProcessEnv): Promise<SimulatorsSeat> {
  let running: Child | null = null;
  let target: string | null = null;
  const controlPort = await quietPort();
  const address = `http://127.0.0.1:${controlPort}`;
  let last: Readonly<Record<string, string>> = Object.fromEntries(
    await Promise.all(
      SIMULATED_ORIGINS.map(async (setting): Promise<[string, string]> => [
        setting,
        `http://127.0.0.1:${await quietPort()}`,
      ]),
    ),
  );
  const sendTarget = async (): Promise<void> => {
    await fetch(`${address}/webhook-target`, { method: 'POST', body: JSON.stringify({ url: target }) });
  };
  return {
    address,
    env: () => last,
    tellTarget: (url) => {
      target = url;
      // Whoever is not there hears of it at its next start.
      sendTarget().catch(() => undefined);
    },
    start: async () => {
      const script = join(options.builtDir, 'simulators', 'main.js');
      const [child, simulators] = await startSimulators({
        ...{ script, dataDir: options.dataDir, controlPort, last },
        env: { ...env, SIMULATORS_CONFIRM_DELAY_MS: '150' },
      });
      const moved = Object.entries(last).find(([name, value]) => simulators.env[name] !== value);
      if (moved) {
        await child.stop('SIGKILL', 0);
        throw new Error(`the simulators lost ${moved[1]}`);
      }
      last = simulators.env;
      running = child;
      await sendTarget();
    },
    pid: () => livePid(running),
    gone: async () => lastWords(running),
    stop: async () => running?.stop('SIGKILL', 0),
  };
}

const SIMULATED_ORIGINS = [
  'PICPAY_BASE_URL',
  'EFI_BASE_URL',
  'BRASPAG_BASE_URL',
  'BRASPAG_QUERY_URL',
  'FOURGEEKS_BASE_URL',
  'PAGOU_BASE_URL',
];

export function serviceSeat(
  options: SeatPlace,
  role: 'api' | 'worker',
  number: number,
  port: number,
  env: NodeJS.ProcessEnv,
  flags?: readonly string[],
): Seat {
  const address = `http://127.0.0.1:${port}`;
  let running: Child | null = null;
  return {
    address,
    start: async () => {
      running = startNode({
        ...program(options, role === 'api' ? 'main' : 'worker'),
        name: `${role}-${number}`,
        ...(flags && { flags }),
        env: { ...env, [role === 'api' ? 'PORT' : 'WORKER_HEALTH_PORT']: String(port) },
      });
      await untilListens(address, running);
    },
    pid: () => livePid(running),
    gone: async () => lastWords(running),
    stop: async () => running?.stop('SIGKILL', 0),
  };
}

/** Serving, ready or not: while PostgreSQL is away nothing gets ready, and yet its turn to be killed may come. */
async function untilListens(origin: string, child: Child): Promise<void> {
  for (;;) {
    if (child.hasEnded()) throw new Error(`${child.name} ${await child.ended}\n${child.logTail()}`);
    const answer = await fetch(`${origin}/health/live`, { signal: AbortSignal.timeout(2_000) }).catch(
      () => null,
    );
    if (answer?.ok) return;
    await pause(LOOK_EVERY_MS);
  }
}

const LOOK_EVERY_MS = 50;

async function lastWords(child: Child | null): Promise<string> {
  return child === null ? '' : `${await child.ended}\n${child.logTail()}`;
}

function livePid(child: Child | null): number | null {
  return child === null || child.hasEnded() ? null : child.pid;
}

export function program(
  { builtDir, dataDir }: SeatPlace,
  name: string,
): Pick<NodeProgram, 'name' | 'script' | 'dataDir'> {
  return { name, script: join(builtDir, 'src', `${name}.js`), dataDir };
}

/**
 * A free port below the range from which systems take ports for outgoing connections: nobody takes it by chance while
 * its owner is dead.
 */
export async function quietPort(): Promise<number> {
  for (;;) {
    const port = 12_000 + (randomBytes(4).readUInt32BE() % 20_000);
    if (await isPortFree(port)) return port;
  }
}
