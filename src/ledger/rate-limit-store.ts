import { CompiledQuery } from 'kysely';
import type { Database } from './database.js';

/** The part of a `pg.Pool` that the rate limiter uses, over the ledger's own connections. */
export interface RateLimitStore {
  query(statement: { readonly text: string; readonly values: readonly unknown[] }): Promise<{
    readonly rows: readonly unknown[];
  }>;
}

export function createRateLimitStore(db: Database): RateLimitStore {
  return { query: ({ text, values }) => db.executeQuery(CompiledQuery.raw(text, [...values])) };
}
