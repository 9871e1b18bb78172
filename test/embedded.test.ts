import { afterEach, describe, expect, it } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { runningPostgresUrl, startPostgres } from '../src/embedded/postgres.js';
import { claimProcessRecord, readProcessRecord, startMarkOf } from '../src/embedded/process-record.js';
import { runningTemporal, startTemporal } from '../src/embedded/temporal.js';

const silent = () => undefined;
const searchAttributes = {
  RefundStatus: 'KEYWORD',
  RefundAmount: 'INT',
  RefundDeadline: 'DATETIME',
} as const;
const folders: string[] = [];
const owners: ChildProcess[] = [];

afterEach(async () => {
  for (const owner of owners.splice(0)) owner.kill('SIGKILL');
  for (const folder of folders.splice(0)) {
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
});

describe('the embedded PostgreSQL', () => {
  it('keeps what was written, its address and its password over a restart', async () => {
    const dataDir = await newFolder();
    const first = await startPostgres({ dataDir, durable: true, log: silent });
    await query(first.url, 'CREATE TABLE kept AS SELECT 1 AS one');
    await first.stop();
    const second = await startPostgres({ dataDir, durable: true, log: silent });
    expect(second.url).toBe(first.url);
    expect(await query(second.url, 'SELECT one FROM kept')).toEqual([{ one: 1 }]);
    await second.stop();
  }, 60_000);

  it('is found by other commands while it runs, and only then', async () => {
    const dataDir = await newFolder();
    expect(runningPostgresUrl(dataDir)).toBeNull();
    const postgres = await startPostgres({ dataDir, durable: false, log: silent });
    expect(runningPostgresUrl(dataDir)).toBe(postgres.url);
    await postgres.stop();
    expect(runningPostgresUrl(dataDir)).toBeNull();
  }, 60_000);

  it('listens on loopback alone, wants its password, and keeps it in files of its user alone', async () => {
    const dataDir = await newFolder();
    const postgres = await startPostgres({ dataDir, durable: false, log: silent });
    expect(await query(postgres.url, 'SHOW listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
    const guess = new URL(postgres.url);
    guess.password = 'guess';
    await expect(query(guess.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/);
    for (const file of ['postgres.json', 'postgres/password']) {
      expect((await stat(join(dataDir, file))).mode & 0o077).toBe(0);
    }
    await postgres.stop();
  }, 60_000);

  it('moves to another port when the one that it had is taken', async () => {
    const dataDir = await newFolder();
    const first = await startPostgres({ dataDir, durable: false, log: silent });
    await first.stop();
    const squatter = await listenOn(Number(new URL(first.url).port));
    const second = await startPostgres({ dataDir, durable: false, log: silent });
    expect(new URL(second.url).port).not.toBe(new URL(first.url).port);
    expect(await query(second.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await second.stop();
    squatter.close();
  }, 60_000);

  it('is one server for several processes that start it at once', async () => {
    const dataDir = await newFolder();
    const started = await Promise.all([1, 2, 3].map(() => startOwner('postgres', dataDir)));
    expect(new Set(started.map(({ answer }) => answer)).size).toBe(1);
    const pid = await postmasterPid(dataDir);
    for (const { owner } of started) owner.kill('SIGKILL');
    await untilGone(pid);
  }, 60_000);

  it('ends when its owner is killed outright, and the next start finds the data', async () => {
    const dataDir = await newFolder();
    const { owner, answer } = await startOwner('postgres', dataDir);
    await query(answer, 'CREATE TABLE kept AS SELECT 1 AS one');
    const pid = await postmasterPid(dataDir);
    owner.kill('SIGKILL');
    const next = await startPostgres({ dataDir, durable: true, log: silent });
    expect(await query(next.url, 'SELECT one FROM kept')).toEqual([{ one: 1 }]);
    await untilGone(pid);
    await next.stop();
  }, 60_000);
});

describe('the embedded Temporal server', () => {
  it('moves from a busy port, knows the search attributes, and is found while it runs', async () => {
    const dataDir = await newFolder();
    const squatter = await listenOn(0);
    const busyPort = portOf(squatter);
    const temporal = await startTemporal({
      dataDir,
      searchAttributes,
      log: silent,
      port: busyPort,
      uiPort: busyPort,
    });
    expect(temporal.address).not.toBe(`127.0.0.1:${busyPort}`);
    expect(runningTemporal(dataDir)?.address).toBe(temporal.address);
    expect((await fetch(temporal.uiUrl!)).status).toBe(200);
    await temporal.stop();
    expect(runningTemporal(dataDir)).toBeNull();
    const again = await startTemporal({ dataDir, searchAttributes, log: silent, port: 0, uiPort: null });
    await again.stop();
    squatter.close();
  }, 120_000);

  it('ends when its owner is killed outright', async () => {
    const dataDir = await newFolder();
    const { owner } = await startOwner('temporal', dataDir);
    const pid = readProcessRecord(join(dataDir, 'temporal.json'))!.pid;
    expect(startMarkOf(pid)).not.toBeNull();
    owner.kill('SIGKILL');
    await untilGone(pid);
  }, 120_000);
});

describe('a claim on a data directory', () => {
  it('is held by one process and falls free with it, however that ends', async () => {
    const file = join(await newFolder(), 'launcher.json');
    const { owner } = await startOwner('claim', file);
    expect(claimProcessRecord(file)).toBe(owner.pid);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    expect(claimProcessRecord(file)).toBeNull();
    expect(claimProcessRecord(file)).toBe(process.pid);
  });
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'estorno-embedded-'));
  folders.push(folder);
  return folder;
}

/** Another process that starts the part and lives until it is killed. */
async function startOwner(part: 'postgres' | 'temporal' | 'claim', place: string) {
  const setup = join(process.cwd(), 'test', 'setup');
  const owner = spawn(
    process.execPath,
    ['--import', join(setup, 'typescript.mjs'), join(setup, 'own-part.ts'), part, place],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  owners.push(owner);
  const [answer] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string];
  return { owner, answer };
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', silent);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function postmasterPid(dataDir: string): Promise<number> {
  return Number((await readFile(join(dataDir, 'postgres', 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

async function untilGone(pid: number): Promise<void> {
  while (startMarkOf(pid) !== null) await pause(20);
}

async function listenOn(port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}
