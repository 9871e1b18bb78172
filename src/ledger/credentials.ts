import { sql } from 'kysely';
import type { Database, LedgerTransaction } from './database.js';

/** How credentials rest here; without it nothing is stored. */
export interface Sealing {
  seal(text: string): string;
  unseal(sealed: string): string;
}

/**
 * The credentials that providers rotate. `rotateCredential` runs its callback alone among all processes, with the
 * newest stored credential (null: none), and keeps what it returns as the next one (null: nothing changes).
 */
export function createCredentialStore(
  db: Database,
  deps: { readonly sealing: Sealing | null; readonly nowMs: () => number },
): {
  rotateCredential<T>(
    owner: string,
    rotate: (current: string | null) => Promise<{ next: string | null; value: T }>,
  ): Promise<T>;
} {
  const held = new Map<string, string>();
  return {
    rotateCredential: async (owner, rotate) => {
      const { sealing } = deps;
      if (sealing === null) {
        // Its settings may hold the very token that the stored one replaced: using that would burn the grant.
        if ((await readCredential(db, owner)) !== null) {
          throw new Error('a credential is stored, and PAYLOAD_KEYS is not set here');
        }
        return rotateInMemory(held, owner, rotate);
      }
      return db.transaction().execute(async (trx) => {
        await sql`SELECT pg_advisory_xact_lock(hashtextextended(${`credential/${owner}`}, 0))`.execute(trx);
        const sealed = await readCredential(trx, owner);
        const { next, value } = await rotate(sealed === null ? null : sealing.unseal(sealed));
        if (next !== null) {
          await storeCredential(trx, { owner, sealed: sealing.seal(next), nowMs: deps.nowMs() });
        }
        return value;
      });
    },
  };
}

/** Without PAYLOAD_KEYS nothing secret is stored: what was rotated lives as long as this process does. */
async function rotateInMemory<T>(
  held: Map<string, string>,
  owner: string,
  rotate: (current: string | null) => Promise<{ next: string | null; value: T }>,
): Promise<T> {
  const { next, value } = await rotate(held.get(owner) ?? null);
  if (next !== null) held.set(owner, next);
  return value;
}

export async function storeCredential(
  trx: LedgerTransaction,
  credential: { readonly owner: string; readonly sealed: string; readonly nowMs: number },
): Promise<void> {
  const row = { sealed: credential.sealed, updated_at: new Date(credential.nowMs) };
  await trx
    .insertInto('provider_credentials')
    .values({ owner: credential.owner, ...row })
    .onConflict((conflict) => conflict.column('owner').doUpdateSet(row))
    .execute();
}

async function readCredential(trx: Database | LedgerTransaction, owner: string): Promise<string | null> {
  const row = await trx
    .selectFrom('provider_credentials')
    .select('sealed')
    .where('owner', '=', owner)
    .executeTakeFirst();
  return row?.sealed ?? null;
}
