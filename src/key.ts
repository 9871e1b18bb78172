import { parseArgs } from 'node:util';
import { Duration } from 'luxon';
import { readConfig } from './config.js';
import { databaseUrlOf } from './database-url.js';
import { openDatabase, type Database } from './ledger/database.js';
import {
  ROLES,
  createApiKey,
  isRole,
  listApiKeys,
  revokeApiKey,
  rotateApiKey,
  type ApiKey,
} from './ledger/keys.js';
import { tellStartupFailure } from './startup-failure.js';

const USAGE = `usage:
  npm run -s key -- create --actor NAME --role ROLE [--role ROLE ...] [--expires-in P90D]
  npm run -s key -- list
  npm run -s key -- rotate ID [--overlap PT24H]
  npm run -s key -- revoke ID
roles: ${ROLES.join(', ')}`;
const OVERLAP = 'PT24H';
const DAYS_MAX = 3_650;

/** `npm run key`: makes, lists, rotates and revokes API keys. A new key is printed alone on a line, this once. */
async function runKeyCommand(args: readonly string[]): Promise<void> {
  const command = readCommand(args);
  const config = readConfig(process.env);
  const db = openDatabase(databaseUrlOf(config), { poolMax: 1 });
  try {
    await command(db);
  } finally {
    await db.destroy();
  }
}

type Command = (db: Database) => Promise<void>;

function readCommand(args: readonly string[]): Command {
  const { values, positionals } = readArgs(args);
  const [name, id, ...rest] = positionals;
  const { actor, role: roles = [], 'expires-in': expiresIn, overlap } = values;
  const hasOnly = (...options: string[]) => Object.keys(values).every((option) => options.includes(option));
  if (rest.length > 0) throw new Error(USAGE);
  if (name === 'create' && id === undefined && actor !== undefined && roles.length > 0) {
    if (hasOnly('actor', 'role', 'expires-in')) return create(actor, roles, expiresIn);
  }
  if (name === 'list' && id === undefined && hasOnly()) return list;
  if (name === 'rotate' && id !== undefined && hasOnly('overlap')) return rotate(id, overlap ?? OVERLAP);
  if (name === 'revoke' && id !== undefined && hasOnly()) return revoke(id);
  throw new Error(USAGE);
}

function readArgs(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        actor: { type: 'string' },
        role: { type: 'string', multiple: true },
        'expires-in': { type: 'string' },
        overlap: { type: 'string' },
      },
    });
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${USAGE}`, { cause: error });
  }
}

function create(actor: string, roles: readonly string[], expiresIn: string | undefined): Command {
  const known = roles.filter(isRole);
  if (known.length !== roles.length) throw new Error(`a role is one of: ${ROLES.join(', ')}`);
  const livesMs = expiresIn === undefined ? null : readDurationMs('--expires-in', expiresIn);
  if (livesMs === 0) throw new Error('--expires-in must be above zero');
  return async (db) => {
    const nowMs = Date.now();
    const expiresAtMs = livesMs === null ? null : nowMs + livesMs;
    const { key } = await createApiKey(db, { actor, roles: known, nowMs, expiresAtMs });
    console.log(key);
  };
}

/** Years and months have no fixed length, so they are refused rather than guessed. */
function readDurationMs(option: string, text: string): number {
  const duration = Duration.fromISO(text);
  const hasFixedLength = duration.isValid && duration.years === 0 && duration.months === 0;
  const ms = hasFixedLength ? duration.toMillis() : NaN;
  if (ms >= 0 && ms <= Duration.fromObject({ days: DAYS_MAX }).toMillis()) return ms;
  throw new Error(
    `${option} is an ISO 8601 duration up to ${DAYS_MAX} days, without years and months, like P90D`,
  );
}

const list: Command = async (db) => {
  const nowMs = Date.now();
  for (const key of await listApiKeys(db)) {
    const used = key.lastUsedAtMs === null ? 'never used' : `used ${instant(key.lastUsedAtMs)}`;
    const made = instant(key.createdAtMs);
    console.log([key.id, key.actor, key.roles.join(','), made, used, stateOf(key, nowMs)].join('\t'));
  }
};

function stateOf({ revokedAtMs, expiresAtMs, replacedBy }: ApiKey, nowMs: number): string {
  if (revokedAtMs !== null) return `revoked ${instant(revokedAtMs)}`;
  const replaced = replacedBy === null ? '' : `, replaced by ${replacedBy}`;
  if (expiresAtMs === null) return `active${replaced}`;
  if (expiresAtMs <= nowMs) return `expired ${instant(expiresAtMs)}${replaced}`;
  return `active until ${instant(expiresAtMs)}${replaced}`;
}

function instant(ms: number): string {
  return new Date(ms).toISOString();
}

function rotate(id: string, overlap: string): Command {
  const overlapMs = readDurationMs('--overlap', overlap);
  return async (db) => {
    const rotated = await rotateApiKey(db, id, { overlapMs, nowMs: Date.now() });
    if (!rotated) throw new Error(`no active key has the id ${id}, or it was rotated before`);
    console.log(rotated.key);
  };
}

function revoke(id: string): Command {
  return async (db) => {
    if (!(await revokeApiKey(db, id, Date.now()))) throw new Error(`no active key has the id ${id}`);
    console.log(`revoked ${id}`);
  };
}

try {
  await runKeyCommand(process.argv.slice(2));
} catch (error) {
  tellStartupFailure(error);
}
