import { readFileSync, readdirSync } from 'node:fs';
import pg from 'pg';

/** Whose CPU a process uses up. PostgreSQL serves two masters, so it counts thrice. */
export const CONSUMERS = [
  'API',
  'worker',
  'engine',
  'PostgreSQL, for the ledger',
  'PostgreSQL, for the engine',
  'PostgreSQL, itself',
] as const;
export type Consumer = (typeof CONSUMERS)[number];

export interface Reading {
  readonly cpuMs: Readonly<Record<Consumer, number>>;
  readonly walBytes: number;
  /** As the engine itself counts them; null where it does not tell. */
  readonly actions: number | null;
}

export interface Meters {
  read(pids: { readonly api: readonly number[]; readonly worker: readonly number[] }): Promise<Reading>;
  close(): Promise<void>;
}

export interface Metered {
  readonly databaseUrl: string;
  readonly postmasterPid: number;
  /** Null: the engine was not started here, so what it uses is not known. */
  readonly enginePid: number | null;
  readonly engineMetricsUrl: string | null;
}

/** Since each process began; differences of two readings tell. CPU is read from /proc, so on Linux alone. */
export async function openMeters(metered: Metered): Promise<Meters> {
  const client = new pg.Client({ connectionString: metered.databaseUrl, application_name: 'bench' });
  await client.connect();
  return {
    read: async ({ api, worker }) => {
      const backends = await client.query<{ pid: number; datname: string | null; own: boolean }>(
        "SELECT pid, datname, application_name = 'bench' AS own FROM pg_stat_activity",
      );
      const wal = await client.query<{ bytes: string }>(
        "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS bytes",
      );
      const ledger = new URL(metered.databaseUrl).pathname.slice(1);
      const databaseOf = new Map(
        backends.rows.map(({ pid, datname, own }) => [pid, own ? 'bench' : datname]),
      );
      const cpuMs: Record<Consumer, number> = {
        API: sumOf(api),
        worker: sumOf(worker),
        engine: metered.enginePid === null ? 0 : cpuMsOf(metered.enginePid),
        'PostgreSQL, for the ledger': 0,
        'PostgreSQL, for the engine': 0,
        'PostgreSQL, itself': cpuMsOf(metered.postmasterPid, { withEndedChildren: true }),
      };
      for (const pid of childrenOf(metered.postmasterPid)) {
        const database = databaseOf.get(pid) ?? null;
        if (database === 'bench') continue;
        if (database === null) cpuMs['PostgreSQL, itself'] += cpuMsOf(pid);
        else cpuMs[`PostgreSQL, for the ${database === ledger ? 'ledger' : 'engine'}`] += cpuMsOf(pid);
      }
      return {
        cpuMs,
        walBytes: Number(wal.rows[0]?.bytes),
        actions: metered.engineMetricsUrl === null ? null : await actionsAt(metered.engineMetricsUrl),
      };
    },
    close: () => client.end(),
  };
}

/** What happened between two readings, a refund. */
export function perRefund(before: Reading, after: Reading, refunds: number): Reading {
  const cpuMs = Object.fromEntries(
    CONSUMERS.map((consumer) => [consumer, (after.cpuMs[consumer] - before.cpuMs[consumer]) / refunds]),
  ) as Record<Consumer, number>;
  return {
    cpuMs,
    walBytes: (after.walBytes - before.walBytes) / refunds,
    actions:
      after.actions === null || before.actions === null ? null : (after.actions - before.actions) / refunds,
  };
}

export function totalCpuMs({ cpuMs }: Reading): number {
  return CONSUMERS.reduce((sum, consumer) => sum + cpuMs[consumer], 0);
}

function sumOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0);
}

/** Linux counts in hundredths of a second, whatever its clock. */
const TICK_MS = 10;
const UTIME = 11;

function cpuMsOf(pid: number, { withEndedChildren = false } = {}): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // What stands before is the name, which may hold blanks.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const counted = fields.slice(UTIME, UTIME + (withEndedChildren ? 4 : 2));
  return counted.reduce((sum, ticks) => sum + ticks, 0) * TICK_MS;
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}

async function actionsAt(metricsUrl: string): Promise<number> {
  const text = await (await fetch(metricsUrl)).text();
  return text
    .split('\n')
    .filter((line) => /^action(_total)?\{/.test(line) && line.includes('namespace="default"'))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
