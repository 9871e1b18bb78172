import { expect, test } from '@jest/globals';
import { Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';
import pg from 'pg';
import { PreparedDriver } from './prepared-driver.js';

interface Tables {
  things: { id: string };
}

test('where a transaction cannot begin, nothing is written and whoever asked is told', async () => {
  const { db, sent } = dbThatCannotBegin();
  const writing = db.transaction().execute((trx) => trx.insertInto('things').values({ id: 'a' }).execute());
  await expect(writing).rejects.toThrow('cannot begin');
  expect(sent).toEqual(['begin', 'rollback']);
});

test('what was read where a transaction cannot begin is not believed', async () => {
  const { db } = dbThatCannotBegin();
  const reading = db.transaction().execute((trx) => trx.selectFrom('things').selectAll().execute());
  await expect(reading).rejects.toThrow('cannot begin');
});

test('what a migration outdated is parsed anew through a pooler that tells statements apart by their texts', async () => {
  const parsed = new Set<string>();
  const outdated = new Set<string>();
  const db = openOver(async (text) => {
    await Promise.resolve();
    if (outdated.has(text)) {
      const error = new pg.DatabaseError('cached plan must not change result type', 0, 'error');
      throw Object.assign(error, { routine: 'RevalidateCachedQuery' });
    }
    parsed.add(text);
  });
  const find = () => db.selectFrom('things').selectAll().where('id', '=', 'a').execute();
  for (let migrations = 0; migrations < 2; migrations += 1) {
    await find();
    for (const text of parsed) outdated.add(text);
    await expect(find()).resolves.toEqual([]);
  }
});

function dbThatCannotBegin() {
  const sent: string[] = [];
  const db = openOver(async (text) => {
    sent.push(text);
    await Promise.resolve();
    if (text === 'begin') throw new Error('cannot begin');
  });
  return { db, sent };
}

/** Every statement goes to `take`, and finds nothing. */
function openOver(take: (text: string) => Promise<void>) {
  const client = {
    query: async (statement: string | { text: string }) => {
      await take(typeof statement === 'string' ? statement : statement.text);
      return { command: 'SELECT', rowCount: 0, rows: [] };
    },
    release: () => undefined,
  };
  const pool = { connect: () => Promise.resolve(client), end: () => Promise.resolve() } as unknown as pg.Pool;
  return new Kysely<Tables>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new PreparedDriver(pool),
      createIntrospector: (inner) => new PostgresIntrospector(inner),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  });
}
