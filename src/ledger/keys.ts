import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { sql } from 'kysely';
import { isActor, settledActor } from './actors.js';
import type { Database, LedgerTransaction } from './database.js';
import { fixedQuery } from './fixed-query.js';

export const ROLES = ['viewer', 'requester', 'approver', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

export interface ApiKey {
  readonly id: string;
  readonly actor: string;
  readonly roles: readonly Role[];
  readonly createdAtMs: number;
  /** From then on it opens nothing; null: it does not end by itself. */
  readonly expiresAtMs: number | null;
  readonly revokedAtMs: number | null;
  /** The id of the key that its rotation made. */
  readonly replacedBy: string | null;
  /** To the minute; null: never, or before this was noted. */
  readonly lastUsedAtMs: number | null;
}

export interface KeyHolder {
  readonly id: string;
  readonly actor: string;
  readonly roles: readonly Role[];
  readonly lastUsedAtMs: number | null;
}

const KEY_FORM = /^est_[A-Za-z0-9_-]{43}$/;
const KEY_BYTES = 32;
const KEY_ID_BYTES = 9;
const LOOKUP_LENGTH = 16;
const USE_NOTED_EVERY_MS = 60_000;

/**
 * Stores the hash and answers the key, which is shown this once.
 * @throws RangeError when the actor is no printable name of 1 to 128 characters, may be taken for another one, or no
 * role is given.
 */
export async function createApiKey(
  db: Database,
  request: {
    readonly actor: string;
    readonly roles: readonly Role[];
    readonly nowMs: number;
    readonly expiresAtMs?: number | null;
  },
): Promise<{ id: string; key: string }> {
  if (!isActor(request.actor)) {
    throw new RangeError('an actor is 1 to 128 printable ASCII characters, and not the service itself');
  }
  if (request.roles.length === 0) throw new RangeError('a key needs at least one role');
  const settled = await settledActor(db, request.actor);
  if (settled !== request.actor) {
    throw new RangeError(`there is an actor ${settled}: name this one the same, or otherwise`);
  }
  return insertKey(db, { ...request, expiresAtMs: request.expiresAtMs ?? null });
}

/**
 * Makes a key of the same actor and roles, which lives as long as the old one was made to; the old one ends after the
 * overlap, if it does not end before. Null: there is no such key, or it is revoked, over or replaced already.
 */
export async function rotateApiKey(
  db: Database,
  id: string,
  { overlapMs, nowMs }: { readonly overlapMs: number; readonly nowMs: number },
): Promise<{ id: string; key: string } | null> {
  return db.transaction().execute(async (trx) => {
    const old = await trx
      .selectFrom('api_keys')
      .selectAll()
      .where('id', '=', id)
      .where('revoked_at', 'is', null)
      .where('replaced_by', 'is', null)
      .forUpdate()
      .executeTakeFirst();
    const endsAtMs = old?.expires_at?.getTime() ?? null;
    if (!old || (endsAtMs !== null && endsAtMs <= nowMs)) return null;
    const created = await insertKey(trx, {
      actor: old.actor,
      roles: old.roles.filter(isRole),
      nowMs,
      expiresAtMs: endsAtMs === null ? null : nowMs + endsAtMs - old.created_at.getTime(),
    });
    await trx
      .updateTable('api_keys')
      .set({
        replaced_by: created.id,
        expires_at: new Date(Math.min(endsAtMs ?? Infinity, nowMs + overlapMs)),
      })
      .where('id', '=', id)
      .execute();
    return created;
  });
}

async function insertKey(
  db: Database | LedgerTransaction,
  of: {
    readonly actor: string;
    readonly roles: readonly Role[];
    readonly nowMs: number;
    readonly expiresAtMs: number | null;
  },
): Promise<{ id: string; key: string }> {
  const id = `key_${randomBytes(KEY_ID_BYTES).toString('hex')}`;
  const key = `est_${randomBytes(KEY_BYTES).toString('base64url')}`;
  await db
    .insertInto('api_keys')
    .values({
      id,
      hash: hashOf(key),
      actor: of.actor,
      roles: [...new Set(of.roles)],
      created_at: new Date(of.nowMs),
      expires_at: of.expiresAtMs === null ? null : new Date(of.expiresAtMs),
    })
    .execute();
  return { id, key };
}

/** Oldest first, those that are revoked or over included. */
export async function listApiKeys(db: Database): Promise<ApiKey[]> {
  const rows = await db.selectFrom('api_keys').selectAll().orderBy('created_at').orderBy('id').execute();
  return rows.map((row) => ({
    id: row.id,
    actor: row.actor,
    roles: row.roles.filter(isRole),
    createdAtMs: row.created_at.getTime(),
    expiresAtMs: row.expires_at?.getTime() ?? null,
    revokedAtMs: row.revoked_at?.getTime() ?? null,
    replacedBy: row.replaced_by,
    lastUsedAtMs: row.last_used_at?.getTime() ?? null,
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

export function isApiKeyForm(text: string): boolean {
  return KEY_FORM.test(text);
}

/**
 * Who holds the key; null where it is unknown, revoked or over. Asked of the database each time, so that a revocation
 * counts at once everywhere. A quarter of the hash finds the row, the whole of it is compared in constant time.
 */
export async function findApiKey(db: Database, key: string, nowMs: number): Promise<KeyHolder | null> {
  if (!isApiKeyForm(key)) return null;
  const hash = hashOf(key);
  const rows = await keysLike(db, { beginning: hash.slice(0, LOOKUP_LENGTH), now: new Date(nowMs) });
  const row = rows.find((candidate) => timingSafeEqual(Buffer.from(candidate.hash), Buffer.from(hash)));
  if (!row) return null;
  const { id, actor, roles, last_used_at: lastUsedAt } = row;
  return { id, actor, roles: roles.filter(isRole), lastUsedAtMs: lastUsedAt?.getTime() ?? null };
}

const keysLike = fixedQuery((db, given: { beginning: string; now: Date }) =>
  db
    .selectFrom('api_keys')
    .select(['id', 'hash', 'actor', 'roles', 'last_used_at'])
    .where(sql<string>`left(hash, ${sql.lit(LOOKUP_LENGTH)})`, '=', given.beginning)
    .where('revoked_at', 'is', null)
    .where((where) => where.or([where('expires_at', 'is', null), where('expires_at', '>', given.now)])),
);

/** Of uses that come closer than a minute to each other, from whatever process, one is written. */
export async function noteKeyUse(db: Database, key: KeyHolder, nowMs: number): Promise<void> {
  const before = nowMs - USE_NOTED_EVERY_MS;
  if (key.lastUsedAtMs !== null && key.lastUsedAtMs > before) return;
  await db
    .updateTable('api_keys')
    .set({ last_used_at: new Date(nowMs) })
    .where('id', '=', key.id)
    .where((where) =>
      where.or([where('last_used_at', 'is', null), where('last_used_at', '<=', new Date(before))]),
    )
    .execute();
}

export function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}

function hashOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}
