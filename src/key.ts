import { parseArgs } from 'node:util';
import { readConfig } from './config.js';
import { databaseUrlOf } from './database-url.js';
import { openDatabase, type Database } from './ledger/database.js';
import { ROLES, createApiKey, isRole, listApiKeys, revokeApiKey } from './ledger/keys.js';
import { tellStartupFailure } from './startup-failure.js';

const USAGE = `usage:
  npm run -s key -- create --actor NAME --role ROLE [--role ROLE ...]   (roles: ${ROLES.join(', ')})
  npm run -s key -- list
  npm run -s key -- revoke ID`;

/** `npm run key`: makes, lists and revokes API keys. A new key is printed alone on a line, this once. */
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
  const { actor, role: roles = [] } = values;
  if (rest.length > 0) throw new Error(USAGE);
  if (name === 'create' && id === undefined && actor !== undefined && roles.length > 0) {
    return create(actor, roles);
  }
  if (name === 'list' && id === undefined) return list;
  if (name === 'revoke' && id !== undefined) return revoke(id);
  throw new Error(USAGE);
}

function readArgs(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { actor: { type: 'string' }, role: { type: 'string', multiple: true } },
    });
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${USAGE}`, { cause: error });
  }
}

function create(actor: string, roles: readonly string[]): Command {
  const known = roles.filter(isRole);
  if (known.length !== roles.length) throw new Error(`a role is one of: ${ROLES.join(', ')}`);
  return async (db) => {
    const { key } = await createApiKey(db, { actor, roles: known, nowMs: Date.now() });
    console.log(key);
  };
}

const list: Command = async (db) => {
  for (const key of await listApiKeys(db)) {
    const state = key.revokedAtMs === null ? 'active' : `revoked ${new Date(key.revokedAtMs).toISOString()}`;
    console.log(
      [key.id, key.actor, key.roles.join(','), new Date(key.createdAtMs).toISOString(), state].join('\t'),
    );
  }
};

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
