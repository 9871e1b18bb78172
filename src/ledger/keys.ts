import { createHash, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import type { Database } from './database.js';
import { SERVICE_ACTOR } from './refunds.js';

export const ROLES = ['viewer', 'requester', 'approver', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

export interface ApiKey {
  readonly id: string;
  readonly actor: string;
  readonly roles: readonly Role[];
  readonly createdAtMs: number;
  readonly revokedAtMs: number | null;
}

const KEY_FORM = /^est_[A-Za-z0-9_-]{43}$/;
const KEY_BYTES = 32;
const KEY_ID_BYTES = 9;
const ACTOR_FORM = /^[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?$/;

/**
 * Stores the hash and answers the key, which is shown this once.
 * @throws RangeError when the actor is no printable name of 1 to 128 characters, may be taken for another one, or no
 * role is given.
 */
export async function createApiKey(
  db: Database,
  request: { readonly actor: string; readonly roles: readonly Role[]; readonly nowMs: number },
): Promise<{ id: string; key: string }> {
  if (!ACTOR_FORM.test(request.actor)) {
    throw new RangeError('an actor is 1 to 128 printable ASCII characters');
  }
  if (request.actor === SERVICE_ACTOR) throw new RangeError(`${SERVICE_ACTOR} is the service itself`);
  if (request.roles.length === 0) throw new RangeError('a key needs at least one role');
  await refuseLookalike(db, request.actor);
  const id = `key_${randomBytes(KEY_ID_BYTES).toString('hex')}`;
  const key = `est_${randomBytes(KEY_BYTES).toString('base64url')}`;
  await db
    .insertInto('api_keys')
    .values({
      id,
      hash: hashOf(key),
      actor: request.actor,
      roles: [...new Set(request.roles)],
      created_at: new Date(request.nowMs),
      revoked_at: null,
    })
    .execute();
  return { id, key };
}

/** `ana` and `Ana` would be two people who look like one, and one person could vote as both. */
async function refuseLookalike(db: Database, actor: string): Promise<void> {
  const other = await db
    .selectFrom('api_keys')
    .select('actor')
    .where(sql<string>`lower(actor)`, '=', actor.toLowerCase())
    .where('actor', '<>', actor)
    .limit(1)
    .executeTakeFirst();
  if (other) throw new RangeError(`there is an actor ${other.actor}: name this one the same, or otherwise`);
}

/** Oldest first, the revoked ones included. */
export async function listApiKeys(db: Database): Promise<ApiKey[]> {
  const rows = await db
    .selectFrom('api_keys')
    .select(['id', 'actor', 'roles', 'created_at', 'revoked_at'])
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    actor: row.actor,
    roles: row.roles.filter(isRole),
    createdAtMs: row.created_at.getTime(),
    revokedAtMs: row.revoked_at?.getTime() ?? null,
  }));
}

/** False: no such key, or it was revoked before. */
export async function revokeApiKey(db: Database, id: string, nowMs: number): Promise<boolean> {
  const revoked = await db
    .updateTable('api_keys')
    .set({ revoked_at: new Date(nowMs) })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return revoked.numUpdatedRows > 0n;
}

/** Who holds the key; null where it is unknown or revoked. Looked up by hash, so timing tells nothing of the key. */
export async function findApiKey(
  db: Database,
  key: string,
): Promise<{ id: string; actor: string; roles: readonly Role[] } | null> {
  if (!KEY_FORM.test(key)) return null;
  const row = await db
    .selectFrom('api_keys')
    .select(['id', 'actor', 'roles'])
    .where('hash', '=', hashOf(key))
    .where('revoked_at', 'is', null)
    .executeTakeFirst();
  return row ? { id: row.id, actor: row.actor, roles: row.roles.filter(isRole) } : null;
}

export function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}

function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}
