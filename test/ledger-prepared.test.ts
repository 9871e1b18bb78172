import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { openDatabase, type Database } from '../src/ledger/database.js';
import { createTestDatabase, type TestDatabase } from './setup/real-parts.js';

let database: TestDatabase;
let db: Database;

beforeAll(async () => {
  database = await createTestDatabase();
  db = openDatabase(database.url, { poolMax: 2 });
});

afterAll(async () => {
  await db.destroy();
  await database.drop();
});

test('a statement is parsed once a connection, however often it is run', async () => {
  await onOneConnection(async (one) => {
    for (let run = 0; run < 3; run += 1) await findPayment(one);
    const { rows } = await sql<{ runs: number }>`
      SELECT generic_plans + custom_plans AS runs FROM pg_prepared_statements
      WHERE statement LIKE ${'select * from "payments"%'}`.execute(one);
    expect(rows).toEqual([{ runs: 3 }]);
  });
});

test('a column that a migration adds under live connections makes no statement fail', async () => {
  await onBothConnections(findPayment);
  await sql`ALTER TABLE payments ADD COLUMN added_later text`.execute(db);
  await onBothConnections(findPayment);
});

test('a transaction that a migration falls into works at the next try, on every connection', async () => {
  const readInTransaction = () => db.transaction().execute(findPayment);
  await Promise.all([readInTransaction(), readInTransaction()]);
  await sql`ALTER TABLE payments ADD COLUMN added_later_still text`.execute(db);

  await expect(readInTransaction()).rejects.toThrow('cached plan must not change result type');
  await Promise.all([readInTransaction(), readInTransaction()]);
});

test('texts that nobody repeats do not pile up on a connection', async () => {
  const fresh = openDatabase(database.url, { poolMax: 1 });
  for (let text = 0; text < 300; text += 1) {
    await sql`SELECT ${1}::int AS ${sql.ref(`column_${text}`)}`.execute(fresh);
  }
  const { rows } = await sql<{ held: number }>`SELECT count(*) AS held FROM pg_prepared_statements`.execute(
    fresh,
  );
  await fresh.destroy();
  expect(rows).toEqual([{ held: 256 }]);
});

test('a transaction that is only to read writes nothing', async () => {
  const writing = db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute((trx) => sql`CREATE TABLE written ()`.execute(trx));
  await expect(writing).rejects.toThrow('read-only transaction');
});

test('a transaction in which a statement has failed does not end as if it were committed', async () => {
  const failing = db.transaction().execute(async (trx) => {
    await expect(sql`SELECT 1 / 0`.execute(trx)).rejects.toThrow('division by zero');
  });
  await expect(failing).rejects.toThrow('nothing was committed');
  await findPayment(db);
});

function findPayment(from: Database): Promise<unknown> {
  return from.selectFrom('payments').selectAll().where('id', '=', 'pay_1').execute();
}

function onOneConnection(use: (one: Database) => Promise<void>): Promise<void> {
  return db.connection().execute(use);
}

/** Each waits for the other, so that neither's connection serves both. */
async function onBothConnections(use: (one: Database) => Promise<unknown>): Promise<void> {
  let waiting = 2;
  let goOn = (): void => undefined;
  const bothThere = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const onOne = () =>
    onOneConnection(async (one) => {
      waiting -= 1;
      if (waiting === 0) goOn();
      await bothThere;
      await use(one);
    });
  await Promise.all([onOne(), onOne()]);
}
