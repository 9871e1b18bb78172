import { PostgresAdapter, PostgresDialect, sql, type Kysely } from 'kysely';
import type pg from 'pg';
import type { Schema } from './database.js';
import { PreparedDriver } from './prepared-driver.js';

/** Makes and checks the MACs of the audit trail. */
export interface AuditMacs {
  /** All that can be checked; the first one makes. */
  readonly keyIds: readonly string[];
  /** `v1.<key id>.<base64url>` over the canonical JSON of the content. */
  make(content: object): string;
  check(content: object, mac: string): MacCheck;
}

export type MacCheck = 'right' | 'wrong' | 'unknown_key';

/** PostgreSQL with the keys of the trail: they go wherever the connection goes, into every transaction. */
export class AuditedDialect extends PostgresDialect {
  readonly #pool: pg.Pool;
  readonly #macs: AuditMacs | null;

  constructor(pool: pg.Pool, macs: AuditMacs | null) {
    super({ pool });
    this.#pool = pool;
    this.#macs = macs;
  }

  override createDriver(): PreparedDriver {
    return new PreparedDriver(this.#pool);
  }

  override createAdapter(): PostgresAdapter {
    return new AuditedAdapter(this.#macs);
  }
}

class AuditedAdapter extends PostgresAdapter {
  constructor(readonly macs: AuditMacs | null) {
    super();
  }
}

/** Null: this database was opened without AUDIT_KEYS. */
export function auditMacsOf(db: Kysely<Schema>): AuditMacs | null {
  const { adapter } = db.getExecutor();
  return adapter instanceof AuditedAdapter ? adapter.macs : null;
}

/** As migration 0005 has it too: an index serves no other spelling. */
const NAMES_KEY = String.raw`^v1\.(.+)\.[A-Za-z0-9_-]+$`;

/** The key that a MAC names; null: it names none. */
export function keyIdOf(mac: string): string | null {
  return new RegExp(NAMES_KEY).exec(mac)?.[1] ?? null;
}

/** The same of the column `mac`. */
export const keyIdOfColumn = sql<string | null>`substring(mac from ${sql.lit(NAMES_KEY)})`;
