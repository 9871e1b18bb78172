import { sql } from 'kysely';
import type { Database } from './database.js';

/** What the database must have been brought up to before this build may serve. */
export const NEWEST_MIGRATION = '0007-scale';

/** @throws whatever the driver says where PostgreSQL does not answer. */
export async function isDatabaseUp(db: Database): Promise<boolean> {
  await sql`SELECT 1`.execute(db);
  return true;
}

/** False: the database is older than this build. @throws where there is no such table, or no answer. */
export async function hasMigration(db: Database, name: string): Promise<boolean> {
  const found = await sql`SELECT 1 FROM migrations WHERE name = ${name}`.execute(db);
  return found.rows.length > 0;
}
