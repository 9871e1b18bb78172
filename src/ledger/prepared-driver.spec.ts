import { expect, test } from '@jest/globals';
import { Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';
import type pg from 'pg';
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

function dbThatCannotBegin() {
  const sent: string[] = [];
  const client = {
    query: async (statement: string | { text: string }) => {
      const text = typeof statement === 'string' ? statement : statement.text;
      sent.push(text);
      await Promise.resolve();
      if (text === 'begin') throw new Error('cannot begin');
      return { command: 'SELECT', rowCount: 0, rows: [] };
    },
    release: () => undefined,
  };
  const pool = { connect: () => Promise.resolve(client), end: () => Promise.resolve() } as unknown as pg.Pool;
  const db = new Kysely<Tables>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new PreparedDriver(pool),
      createIntrospector: (inner) => new PostgresIntrospector(inner),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  });
  return { db, sent };
}
