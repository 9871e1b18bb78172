import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import { readConfig } from './config.js';
import { databaseUrlOf } from './database-url.js';
import { tellStartupFailure } from './startup-failure.js';

/** `npm run migrate`: brings the database up to date; of two at once the second waits and finds nothing to do. */
async function migrate(): Promise<void> {
  const config = readConfig(process.env);
  const done = await runner({
    databaseUrl: databaseUrlOf(config),
    dir: migrationsFolder(),
    migrationsTable: 'migrations',
    direction: 'up',
    advisoryLockMode: 'wait',
    log: () => undefined,
  });
  for (const migration of done) console.log(`migrated: ${migration.name}`);
  if (done.length === 0) console.log('the database is up to date');
}

/** Beside `src` in the sources, beside `dist` in a build. */
function migrationsFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const root = here.endsWith(join('dist', 'src')) ? join(here, '..', '..') : join(here, '..');
  return join(root, 'migrations');
}

try {
  await migrate();
} catch (error) {
  tellStartupFailure(error);
}
