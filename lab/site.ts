import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runNode } from '../src/embedded/parts.js';
import { retried } from './retries.js';
import {
  postgresSeat,
  program,
  quietPort,
  serviceSeat,
  simulatorsSeat,
  temporalSeat,
  type Seat,
  type SeatPlace,
} from './seats.js';

export interface SiteOptions extends SeatPlace {
  readonly apis: number;
  readonly workers: number;
  /** Settings of API and workers, on top of `QUICK_SETTINGS`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A whole installation of real processes, each of which can be killed, frozen and started again in its place. */
export interface Site {
  readonly apiOrigins: readonly string[];
  /** The control API of the simulators. */
  readonly controlOrigin: string;
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  /** API keys. The requester may vote as well, though on nothing that was asked for with this key. */
  readonly keys: {
    readonly requester: string;
    readonly operator: string;
    /** By actor. */
    readonly approvers: Readonly<Record<string, string>>;
  };
  /** What API and workers are given, secrets included. */
  readonly settings: Readonly<Record<string, string | undefined>>;
  /** postgres, temporal, simulators, api-1 …, worker-1 … */
  readonly names: readonly string[];
  /** Processes of the service that ended though nobody killed them, with their last words; each was started again. */
  readonly deaths: readonly string[];
  isUp(name: string): boolean;
  /** kill -9; resolves when the process is gone. */
  kill(name: string): Promise<void>;
  /** SIGSTOP, with all its children. It is thawed after `atMostMs` even if this process is gone by then. */
  freeze(name: string, atMostMs: number): void;
  thaw(name: string): void;
  /** In its place: same port, same data. Resolves when it is ready. */
  start(name: string): Promise<void>;
  /** Thaws and starts whatever is not running; resolves when all are ready. */
  heal(): Promise<void>;
  /** Forgets every workflow: its server is stopped, its database deleted, and it starts empty. */
  wipeTemporal(): Promise<void>;
  close(): Promise<void>;
}

/** Quick enough for a lab, in the proportions of the real defaults. */
export const QUICK_SETTINGS = {
  PROVIDER_TIMEOUT_MS: '800',
  PROVIDER_QUIET_MS: '900',
  CONFIRM_POLL_MS: '150',
  CONFIRM_POLL_MAX_MS: '2000',
  RETRY_MAX_MS: '500',
  RATE_LIMIT_PER_SECOND: '10000',
  RATE_LIMIT_BURST: '100000',
};

/** An attempt is written off no earlier than so long after its claim: send-by, timeout and quiet time. */
export const WRITTEN_OFF_AFTER_MS =
  2 * Number(QUICK_SETTINGS.PROVIDER_TIMEOUT_MS) + Number(QUICK_SETTINGS.PROVIDER_QUIET_MS);

export const REQUESTER = 'rita';
export const OPERATOR = 'otto';
export const APPROVERS = ['ana', 'bia', 'caio'] as const;

/** By these about a third of the storm's refunds need votes. */
export const APPROVALS_BY_TOTAL = [
  { totalMinor: 30_000, approvals: 1 },
  { totalMinor: 60_000, approvals: 2 },
] as const;

export async function startSite(options: SiteOptions): Promise<Site> {
  mkdirSync(options.dataDir, { recursive: true });
  const seats = new Map<string, Seat>();
  const serviceEnv = settingsOf(options);
  const site = siteOf(options, seats, serviceEnv);
  try {
    seats.set('postgres', postgresSeat(options, await quietPort()));
    seats.set('temporal', temporalSeat(options, await quietPort()));
    const simulators = await simulatorsSeat(options, serviceEnv);
    seats.set('simulators', simulators);
    await site.heal();
    Object.assign(serviceEnv, simulators.env(), {
      DATABASE_URL: site.databaseUrl,
      TEMPORAL_ADDRESS: seats.get('temporal')?.address,
    });
    await runNode({ ...program(options, 'migrate'), env: serviceEnv });
    for (const role of ['api', 'worker'] as const) {
      const count = role === 'api' ? options.apis : options.workers;
      for (let number = 1; number <= count; number += 1) {
        seats.set(`${role}-${number}`, serviceSeat(options, role, number, await quietPort(), serviceEnv));
      }
    }
    const [requester, operator, approvers] = await Promise.all([
      newKey(options, serviceEnv, REQUESTER, 'requester', 'approver'),
      newKey(options, serviceEnv, OPERATOR, 'operator'),
      Promise.all(
        APPROVERS.map(async (name) => [name, await newKey(options, serviceEnv, name, 'approver')] as const),
      ),
      site.heal(),
    ]);
    Object.assign(site.keys, { requester, operator, approvers: Object.fromEntries(approvers) });
    simulators.tellTarget(site.apiOrigins[0] ?? null);
    return site;
  } catch (error) {
    await site.close();
    throw error;
  }
}

function siteOf(options: SiteOptions, seats: Map<string, Seat>, settings: Site['settings']): Site {
  const frozen = new Map<string, readonly number[]>();
  const killed = new Set<number>();
  const starting = new Map<string, Promise<void>>();
  const deaths: string[] = [];
  let closing = false;
  const seatOf = (name: string): Seat => {
    const seat = seats.get(name);
    if (!seat) throw new Error(`the site has no ${name}`);
    return seat;
  };
  const startSeat = async (name: string): Promise<void> => {
    const seat = seatOf(name);
    if (seat.pid() !== null) return;
    await retried(async () => {
      if (!closing) await seat.start();
    }, START_WITHIN_MS);
    const pid = seat.pid();
    if (!isService(name) || pid === null) return;
    void seat.gone().then((why) => {
      if (closing || killed.has(pid)) return;
      deaths.push(`${name} ${why}`);
      return site.start(name).catch((error: unknown) => deaths.push(String(error)));
    });
  };
  const site: Site = {
    get apiOrigins() {
      return [...seats].filter(([name]) => name.startsWith('api-')).map(([, seat]) => seat.address);
    },
    get controlOrigin() {
      return seatOf('simulators').address;
    },
    get databaseUrl() {
      return seatOf('postgres').address;
    },
    get temporalAddress() {
      return seatOf('temporal').address;
    },
    keys: { requester: '', operator: '', approvers: {} },
    settings,
    get names() {
      return [...seats.keys()];
    },
    deaths,
    isUp: (name) => seatOf(name).pid() !== null && !frozen.has(name),
    kill: async (name) => {
      const seat = seatOf(name);
      const pid = seat.pid();
      // Children that stay frozen would hold what the next one needs.
      site.thaw(name);
      if (pid === null) return;
      killed.add(pid);
      process.kill(pid, 'SIGKILL');
      await seat.gone();
    },
    freeze: (name, atMostMs) => {
      const pid = seatOf(name).pid();
      if (pid === null) return;
      const family = [pid, ...childrenOf(pid)];
      frozen.set(name, family);
      for (const each of family) signal(each, 'SIGSTOP');
      thawLater(family, atMostMs);
    },
    thaw: (name) => {
      for (const each of frozen.get(name) ?? []) signal(each, 'SIGCONT');
      frozen.delete(name);
    },
    start: (name) => {
      // Whoever is killed before it is ready is started again by the start that waits for it, and by no second one.
      const under = starting.get(name) ?? startSeat(name).finally(() => starting.delete(name));
      starting.set(name, under);
      return under;
    },
    heal: async () => {
      for (const name of frozen.keys()) site.thaw(name);
      await Promise.all([...seats.keys()].map((name) => site.start(name)));
    },
    wipeTemporal: async () => {
      const wipe = async (): Promise<void> => {
        await seatOf('temporal').stop();
        rmSync(join(options.dataDir, 'temporal'), { recursive: true, force: true });
        await startSeat('temporal');
      };
      // Whoever starts it meanwhile waits for this start.
      const wiped = wipe().finally(() => starting.delete('temporal'));
      starting.set('temporal', wiped);
      await wiped;
    },
    close: async () => {
      closing = true;
      for (const name of frozen.keys()) site.thaw(name);
      const layers = [isService, () => true];
      for (const isInLayer of layers) {
        const layer = [...seats].filter(([name, seat]) => isInLayer(name) && seat.pid() !== null);
        await Promise.allSettled(layer.map(([, seat]) => seat.stop()));
      }
    },
  };
  return site;
}

/** Waits until API and workers say that nothing is missing. */
export async function untilAllReady(site: Site): Promise<void> {
  await Promise.all(
    site.apiOrigins.map((origin) =>
      retried(async () => {
        const answer = await fetch(`${origin}/health/ready`, { signal: AbortSignal.timeout(5_000) });
        if (!answer.ok) throw new Error(`${origin} is not ready: ${await answer.text()}`);
      }, START_WITHIN_MS),
    ),
  );
}

const START_WITHIN_MS = 60_000;

function isService(name: string): boolean {
  return /^(api|worker|simulators)/.test(name);
}

function newKey(
  options: SiteOptions,
  env: NodeJS.ProcessEnv,
  actor: string,
  ...roles: readonly string[]
): Promise<string> {
  const args = ['create', '--actor', actor, ...roles.flatMap((role) => ['--role', role])];
  return runNode({ ...program(options, 'key'), name: `key-${actor}`, args, env });
}

/** All that the service gets: settings of the shell that started us must not reach it. */
function settingsOf({ dataDir, settings }: SiteOptions): Record<string, string> {
  const policyFile = join(dataDir, 'policy.json');
  writeFileSync(policyFile, JSON.stringify(QUICK_POLICY));
  const keyRing = (): string => `lab:${randomBytes(32).toString('base64')}`;
  return {
    ...QUICK_SETTINGS,
    PATH: '/usr/local/bin:/usr/bin:/bin',
    HOME: dataDir,
    DATA_DIR: dataDir,
    POLICY_FILE: policyFile,
    PAYLOAD_KEYS: keyRing(),
    FRONT_DOOR_KEYS: keyRing(),
    AUDIT_KEYS: keyRing(),
    ...settings,
  };
}

/** What people never end, and providers never confirm, is over while somebody still looks. */
const QUICK_POLICY = {
  approval: {
    rules: APPROVALS_BY_TOTAL.map(({ totalMinor, approvals }) => ({
      when: { amount_gte: totalMinor },
      approvals,
    })),
    ...{ expires_after: 'PT20S', remind_every: 'PT5S', escalate_after: 'PT8S' },
  },
  provider_processing: { review_after: 'PT20S' },
};

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended in between.
  }
}

/** A frozen process can't be told that its parent died: a shell thaws it whatever happens to us. */
function thawLater(pids: readonly number[], afterMs: number): void {
  const command = `sleep ${afterMs / 1000}; kill -CONT ${pids.join(' ')} 2>/dev/null`;
  spawn('/bin/sh', ['-c', command], { detached: true, stdio: 'ignore' }).unref();
}
