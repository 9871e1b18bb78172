import { randomBytes } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { startChild, tailOf, type Child } from './children.js';
import { freePort } from './ports.js';
import {
  NAMESPACE,
  NOBODY,
  WHAT_ELSE,
  chooseAccount,
  clusterHome,
  moveUnlessThere,
  usableBinaries,
  type Account,
} from './postgres-binaries.js';
import { commandOf, parentOf, readProcessRecord, startMarkOf, writeProcessRecord } from './process-record.js';

export interface PostgresOptions {
  readonly dataDir: string;
  /** False skips every flush to disk: for tests, whose data nobody keeps. */
  readonly durable: boolean;
  readonly log: (line: string) => void;
  /** Of a cluster that is still to be made: 54329 unless given; busy: a free one. */
  readonly port?: number;
}

export interface RunningPostgres {
  /** With the password. */
  readonly url: string;
  /** Resolves when it ends without being asked to; the text says why. */
  readonly died: Promise<string>;
  stop(): Promise<void>;
}

/**
 * A PostgreSQL of our own under the data directory, on loopback, with a random password. One that already runs there
 * is used as it is.
 * @throws Error whose message says what was tried and what to do.
 */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const dataDir = resolve(options.dataDir);
  mkdirSync(dataDir, { recursive: true });
  const account = chooseAccount();
  const home = clusterHome(dataDir, account);
  const binaries = usableBinaries(home, account);
  const cluster: Cluster = { dataDir, home, binaries, account, durable: options.durable };

  if (!existsSync(join(home, 'data', 'PG_VERSION'))) {
    options.log('creating the embedded PostgreSQL cluster');
    await buildCluster(cluster, options.port ?? PORT_PREFERRED);
  }
  return serveOrAdopt(cluster);
}

/** The URL of the one that runs under the data directory, for commands that start nothing; null where none does. */
export function runningPostgresUrl(dataDir: string): string | null {
  return readProcessRecord<PostgresFacts>(recordFile(resolve(dataDir)))?.facts.url ?? null;
}

const DATABASE = 'estorno';
const USER = 'estorno';
const PORT_PREFERRED = 54_329;
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
const LOOK_EVERY_MS = 20;
const CONNECTIONS_MAX = 200;
// Nothing of the user's environment (PGOPTIONS, PGDATA, LC_ALL …) may reach the server.
const SERVER_ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
};

/** Nothing outlives its tests, and nothing grows old enough to be vacuumed. */
const FORGETFUL = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  autovacuum: 'off',
};

interface PostgresFacts {
  readonly url: string;
  readonly ownerPid: number;
  readonly ownerStartMark: string | null;
}

interface Cluster {
  readonly dataDir: string;
  readonly home: string;
  readonly binaries: string;
  readonly account: Account;
  readonly durable: boolean;
}

/** Aside and then renamed, so that a half-built cluster is never taken for one; of several builders the first wins. */
async function buildCluster(cluster: Cluster, port: number): Promise<void> {
  removeAbandonedDrafts(cluster.home);
  const draft = `${cluster.home}.building-${process.pid}`;
  mkdirSync(draft, { recursive: true, mode: 0o700 });
  const passwordFile = join(draft, 'password');
  writeFileSync(passwordFile, randomBytes(24).toString('base64url'), { mode: 0o600 });
  writeFileSync(join(draft, 'port'), String(await freePort(port)), { mode: 0o600 });
  if (cluster.account.kind === 'nobody') {
    for (const path of [draft, passwordFile]) chownSync(path, NOBODY, NOBODY);
  }

  const logFile = join(cluster.dataDir, 'logs', 'initdb.log');
  const initdb = startPostgresProgram(cluster, {
    name: 'initdb',
    args: [
      ...['-D', join(draft, 'data'), '-U', USER, `--pwfile=${passwordFile}`],
      ...['--auth=scram-sha-256', '--no-locale', '--encoding=UTF8', '--no-instructions'],
      // A test logs in thousands of times, and each would reckon through 4,096 rounds.
      ...(cluster.durable ? [] : ['--no-sync', '-c', 'scram_iterations=1']),
    ],
    logFile,
    orphanSignal: 'KILL',
  });
  const ending = await initdb.ended;
  if (ending !== 'exited with 0') {
    rmSync(draft, { recursive: true, force: true });
    throw new Error(describeFailure(cluster, `initdb ${ending}`, initdb.logTail()));
  }
  moveUnlessThere(draft, cluster.home);
}

function removeAbandonedDrafts(home: string): void {
  const prefix = `${basename(home)}.building-`;
  for (const name of readdirSync(dirname(home))) {
    if (!name.startsWith(prefix) || startMarkOf(Number(name.slice(prefix.length))) !== null) continue;
    rmSync(join(dirname(home), name), { recursive: true, force: true });
  }
}

/** PostgreSQL's own lock on its data decides who serves; whoever loses uses the winner's. */
async function serveOrAdopt(cluster: Cluster): Promise<RunningPostgres> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const postmasterPid = livePostmaster(cluster);
    const running =
      postmasterPid === null ? await serve(cluster, deadline) : await adopt(cluster, postmasterPid);
    if (running !== null) return running;
    if (Date.now() > deadline) {
      throw new Error(describeFailure(cluster, 'PostgreSQL did not get ready', tailOf(serverLog(cluster))));
    }
    await pause(LOOK_EVERY_MS);
  }
}

/** To our cluster's folder, or to the port that was free a moment ago. */
const LOST_A_RACE = /"postmaster\.pid" already exists|Address already in use/;

/** Null where another one came first. */
async function serve(cluster: Cluster, deadline: number): Promise<RunningPostgres | null> {
  const port = await keptPort(cluster);
  const url = urlOf(cluster, port);
  const server = startPostgresProgram(cluster, {
    name: 'postgres',
    args: [
      ...['-D', join(cluster.home, 'data'), '-p', String(port)],
      ...settings({
        listen_addresses: '127.0.0.1',
        unix_socket_directories: '',
        max_connections: String(CONNECTIONS_MAX),
        timezone: 'UTC',
        log_timezone: 'UTC',
        ...(cluster.durable ? {} : FORGETFUL),
      }),
    ],
    logFile: serverLog(cluster),
    // SIGINT is PostgreSQL's fast shutdown: sessions are cut, nothing is lost.
    orphanSignal: 'INT',
  });
  while (!(await isReady(url, cluster))) {
    if (server.hasEnded()) {
      if (LOST_A_RACE.test(server.logTail())) return null;
      throw new Error(describeFailure(cluster, `postgres ${await server.ended}`, server.logTail()));
    }
    if (Date.now() > deadline) {
      await server.stop('SIGINT', STOP_TIMEOUT_MS);
      throw new Error(describeFailure(cluster, 'PostgreSQL did not get ready', server.logTail()));
    }
    await pause(LOOK_EVERY_MS);
  }
  const postmasterPid = livePostmaster(cluster);
  const isOurs = postmasterPid !== null && [postmasterPid, parentOf(postmasterPid)].includes(server.pid);
  if (!isOurs) {
    await server.stop('SIGINT', STOP_TIMEOUT_MS);
    return null;
  }
  const facts = { url, ownerPid: process.pid, ownerStartMark: startMarkOf(process.pid) };
  writeProcessRecord(recordFile(cluster.dataDir), postmasterPid, facts satisfies PostgresFacts);
  return {
    url,
    died: server.ended.then((why) => `${why}\n${server.logTail()}`),
    stop: async () => {
      await server.stop('SIGINT', STOP_TIMEOUT_MS);
      rmSync(recordFile(cluster.dataDir), { force: true });
    },
  };
}

/** Null while the running one is not ready, or about to end. */
async function adopt(cluster: Cluster, postmasterPid: number): Promise<RunningPostgres | null> {
  const record = readProcessRecord<PostgresFacts>(recordFile(cluster.dataDir));
  if (record?.pid !== postmasterPid || !(await isReady(record.facts.url, cluster))) return null;
  const { url, ownerPid, ownerStartMark } = record.facts;
  return {
    url,
    died: endOf(postmasterPid),
    stop: async () => {
      const ownerLives = ownerStartMark !== null && startMarkOf(ownerPid) === ownerStartMark;
      if (ownerLives) return;
      process.kill(postmasterPid, 'SIGINT');
      await endOf(postmasterPid);
    },
  };
}

async function endOf(pid: number): Promise<string> {
  const mark = startMarkOf(pid);
  while (mark !== null && startMarkOf(pid) === mark) await pause(100, undefined, { ref: false });
  return 'ended';
}

function livePostmaster(cluster: Cluster): number | null {
  try {
    const pid = Number(readFileSync(join(cluster.home, 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);
    // After a reboot the pid in a stale file may be anybody's.
    return commandOf(pid) === 'postgres' ? pid : null;
  } catch {
    return null;
  }
}

async function isReady(url: string, cluster: Cluster): Promise<boolean> {
  const maintenance = new URL(url);
  maintenance.pathname = '/postgres';
  const client = new pg.Client({ connectionString: maintenance.href, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    // Another program could listen on this port with another cluster: only ours has this folder.
    const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
    if (rows[0]?.data_directory !== join(cluster.home, 'data')) return false;
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** The same port as last time where it is free, so that clients that were given the URL find it again. */
async function keptPort(cluster: Cluster): Promise<number> {
  const file = join(cluster.home, 'port');
  const kept = existsSync(file) ? Number(readFileSync(file, 'utf8')) : PORT_PREFERRED;
  const port = await freePort(kept);
  if (port !== kept) writeFileSync(file, String(port), { mode: 0o600 });
  return port;
}

function urlOf(cluster: Cluster, port: number): string {
  const password = readFileSync(join(cluster.home, 'password'), 'utf8').trim();
  return `postgresql://${USER}:${password}@127.0.0.1:${port}/${DATABASE}`;
}

interface Program {
  readonly name: 'initdb' | 'postgres';
  readonly args: readonly string[];
  readonly logFile: string;
  readonly orphanSignal: 'INT' | 'KILL';
}

function startPostgresProgram(cluster: Cluster, program: Program): Child {
  const command = join(cluster.binaries, 'bin', program.name);
  makeExecutable(command);
  return startChild({
    ...program,
    command,
    env: SERVER_ENV,
    // The namespace comes before the tether: the kernel forgets a death signal when credentials change.
    ...(cluster.account.kind === 'namespace' ? { becomes: NAMESPACE } : {}),
    ...(cluster.account.kind === 'nobody' ? { uid: NOBODY, gid: NOBODY } : {}),
  });
}

function makeExecutable(file: string): void {
  try {
    accessSync(file, constants.X_OK);
  } catch {
    chmodSync(file, 0o755);
  }
}

function settings(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

function recordFile(dataDir: string): string {
  return join(dataDir, 'postgres.json');
}

function serverLog(cluster: Cluster): string {
  return join(cluster.dataDir, 'logs', 'postgres.log');
}

function describeFailure(cluster: Cluster, what: string, logTail: string): string {
  const how = {
    self: 'as the current user',
    namespace: 'as nobody in a user namespace',
    nobody: 'as the user nobody, with no user namespace to be had',
  }[cluster.account.kind];
  return [
    `No embedded PostgreSQL: ${what}.`,
    `Tried ${join(cluster.binaries, 'bin', 'postgres')} on ${join(cluster.home, 'data')} ${how}.`,
    ...(logTail === '' ? [] : ['Its last words:', logTail]),
    WHAT_ELSE,
  ].join('\n');
}
