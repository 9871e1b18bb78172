import { execFile } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import { settledActor } from '../src/ledger/actors.js';
import {
  createApiKey,
  findApiKey,
  listApiKeys,
  noteKeyUse,
  revokeApiKey,
  rotateApiKey,
  type ApiKey,
} from '../src/ledger/keys.js';
import { compileService } from './setup/compiled-service.js';
import { eventually, until } from './setup/eventually.js';
import { NOW_MS, openFrontDoor, type FrontDoor } from './setup/front-door.js';
import { createTestDatabase } from './setup/real-parts.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let nowMs = NOW_MS;
let door: FrontDoor;
let otherDoor: FrontDoor;
beforeAll(async () => {
  door = await openFrontDoor({ nowMs: () => nowMs });
  otherDoor = await openFrontDoor({ db: door.db, nowMs: () => nowMs });
});
afterAll(async () => {
  await otherDoor.close();
  await door.close();
});

const create = (actor: string, expiresAtMs: number | null = null) =>
  createApiKey(door.db, { actor, roles: ['viewer', 'approver'], nowMs, expiresAtMs });
const stored = async (id: string): Promise<ApiKey> =>
  (await listApiKeys(door.db)).find((key) => key.id === id)!;
const statuses = async (key: string) =>
  Promise.all([door, otherDoor].map(async (each) => (await each.call('GET', '/v1/refunds', { key })).status));

describe('a key', () => {
  it('is refused by every API process from the moment of its revocation on', async () => {
    const { id, key } = await create('rosa');
    expect(await statuses(key)).toEqual([200, 200]);
    await revokeApiKey(door.db, id, nowMs);
    expect(await statuses(key)).toEqual([401, 401]);
  });

  it('opens nothing from its end on', async () => {
    const { key } = await create('eli', nowMs + 1_000);
    expect(await statuses(key)).toEqual([200, 200]);
    nowMs += 1_000;
    expect(await statuses(key)).toEqual([401, 401]);
    nowMs = NOW_MS;
  });

  it('is none that merely shares the part of the hash by which it is looked up', async () => {
    const { id, key } = await create('hal');
    await sql`UPDATE api_keys SET hash = left(hash, 63) || CASE right(hash, 1) WHEN 'a' THEN 'b' ELSE 'a' END
      WHERE id = ${id}`.execute(door.db);
    expect(await findApiKey(door.db, key, nowMs)).toBeNull();
  });

  it('is found among others whose hashes begin the same', async () => {
    const { id, key } = await create('ida');
    await sql`INSERT INTO api_keys (id, hash, actor, roles, created_at)
      SELECT 'key_twin', left(hash, 16) || repeat('0', 48), 'twin', roles, created_at FROM api_keys
      WHERE id = ${id}`.execute(door.db);
    expect(await findApiKey(door.db, key, nowMs)).toMatchObject({ id, actor: 'ida' });
  });
});

describe('rotation', () => {
  it('makes a key of the same actor and roles, and both open until the overlap ends', async () => {
    const old = await create('rita');
    const made = await rotateApiKey(door.db, old.id, { overlapMs: HOUR_MS, nowMs });
    expect(await stored(made!.id)).toMatchObject({
      actor: 'rita',
      roles: ['viewer', 'approver'],
      expiresAtMs: null,
    });
    expect([await statuses(old.key), await statuses(made!.key)]).toEqual([
      [200, 200],
      [200, 200],
    ]);
    nowMs += HOUR_MS;
    expect([await statuses(old.key), await statuses(made!.key)]).toEqual([
      [401, 401],
      [200, 200],
    ]);
    nowMs = NOW_MS;
  });

  it('gives the new key the life that the old one was made with, and never prolongs the old one', async () => {
    const old = await create('leo', nowMs + DAY_MS);
    nowMs += DAY_MS - HOUR_MS;
    const made = await rotateApiKey(door.db, old.id, { overlapMs: DAY_MS, nowMs });
    expect((await stored(made!.id)).expiresAtMs).toBe(nowMs + DAY_MS);
    expect((await stored(old.id)).expiresAtMs).toBe(NOW_MS + DAY_MS);
    nowMs = NOW_MS;
  });

  it('happens once to a key, of two at the same time too, and never to one that is over', async () => {
    const [old, revoked, over] = [await create('uma'), await create('uma'), await create('uma', nowMs)];
    await revokeApiKey(door.db, revoked.id, nowMs);
    const rotate = (id: string) => rotateApiKey(door.db, id, { overlapMs: HOUR_MS, nowMs });
    const made = await Promise.all([rotate(old.id), rotate(old.id)]);
    expect(made.filter((each) => each !== null)).toHaveLength(1);
    expect([await rotate(old.id), await rotate(revoked.id), await rotate(over.id)]).toEqual([
      null,
      null,
      null,
    ]);
  });
});

describe('last use', () => {
  it('is written once a minute, however many requests there are', async () => {
    const { id, key } = await create('max');
    await Promise.all(Array.from({ length: 20 }, () => statuses(key)));
    await eventually(
      () => stored(id),
      ({ lastUsedAtMs }) => lastUsedAtMs === NOW_MS,
    );
    const holder = (await findApiKey(door.db, key, nowMs))!;
    // What was read before another process wrote.
    await noteKeyUse(door.db, { ...holder, lastUsedAtMs: null }, nowMs + 59_000);
    expect((await stored(id)).lastUsedAtMs).toBe(NOW_MS);
    nowMs += 60_000;
    await statuses(key);
    await eventually(
      () => stored(id),
      ({ lastUsedAtMs }) => lastUsedAtMs === nowMs,
    );
    nowMs = NOW_MS;
  });

  it('never keeps an answer waiting', async () => {
    const { id, key } = await create('nina');
    const signals = new EventEmitter();
    const [locked, released] = [once(signals, 'locked'), once(signals, 'released')];
    const held = door.db.transaction().execute(async (trx) => {
      await trx.selectFrom('api_keys').select('id').where('id', '=', id).forUpdate().execute();
      signals.emit('locked');
      await released;
    });
    await locked;
    expect(await statuses(key)).toEqual([200, 200]);
    expect((await stored(id)).lastUsedAtMs).toBeNull();
    signals.emit('released');
    await held;
    await eventually(
      () => stored(id),
      ({ lastUsedAtMs }) => lastUsedAtMs === NOW_MS,
    );
  });
});

describe('actors', () => {
  it('have one spelling, when two keys are made at the same time too', async () => {
    const made = await Promise.allSettled([create('Vera'), create('vera'), create('VERA')]);
    expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await expect(create('Estorno')).rejects.toThrow('the service itself');
  });

  it('take the spelling of who came first, of those who come while it is written too', async () => {
    const signals = new EventEmitter();
    const [written, released] = [once(signals, 'written'), once(signals, 'released')];
    const first = door.db.transaction().execute(async (trx) => {
      const actor = await settledActor(trx, 'Wanda');
      signals.emit('written');
      await released;
      return actor;
    });
    await written;
    const second = settledActor(door.db, 'wanda');
    await until(async () => (await lockWaits()) > 0);
    signals.emit('released');
    expect(await Promise.all([first, second, settledActor(door.db, 'WANDA')])).toEqual(
      Array(3).fill('Wanda'),
    );
  });

  it.each([
    '',
    ' ana',
    'ana ',
    'an  a',
    'a\tb',
    'ana\n',
    '\u0430na',
    'ana\u200b',
    '\u202eana',
    'anå',
    'x'.repeat(129),
  ])('are never %j: two that look alike would be two people', async (name) => {
    await expect(create(name)).rejects.toThrow('printable ASCII');
  });
});

async function lockWaits(): Promise<number> {
  const { rows } = await sql`SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`.execute(door.db);
  return rows.length;
}

describe('npm run key', () => {
  it('makes, rotates, lists and revokes', async () => {
    const [compiled, database] = await Promise.all([compileService(), createTestDatabase()]);
    const key = async (...args: string[]) => {
      const program = `${compiled.builtDir}/src/key.js`;
      const env = { DATABASE_URL: database.url };
      return (await promisify(execFile)(process.execPath, [program, ...args], { env })).stdout.trim();
    };
    const first = await key('create', '--actor', 'ana', '--role', 'viewer', '--expires-in', 'P90D');
    const id = (await key('list')).split('\t')[0]!;
    const second = await key('rotate', id, '--overlap', 'PT1H');
    expect([first, second]).toEqual(Array(2).fill(expect.stringMatching(/^est_[\w-]{43}$/)));
    const [old, made] = (await key('list')).split('\n');
    const newId = made!.split('\t')[0]!;
    expect(old).toMatch(
      new RegExp(`\tana\tviewer\t\\S+\tnever used\tactive until \\S+, replaced by ${newId}$`),
    );
    expect(made).toMatch(/\tactive until \S+$/);
    expect(await key('revoke', newId)).toBe(`revoked ${newId}`);
    await expect(key('rotate', newId)).rejects.toThrow('no active key');
    await expect(key('rotate', id, '--overlap', 'P1M')).rejects.toThrow('ISO 8601');
    await Promise.all([compiled.remove(), database.drop()]);
  }, 30_000);
});
