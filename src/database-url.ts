import type { Config } from './config.js';
import { runningPostgresUrl } from './embedded/postgres.js';

/**
 * Where PostgreSQL is: what the environment says, else the embedded one that runs under DATA_DIR.
 * @throws Error in words for the operator when neither is there.
 */
export function databaseUrlOf(config: Config): string {
  const url = config.databaseUrl ?? runningPostgresUrl(config.dataDir);
  if (url === null) {
    throw new Error(
      `DATABASE_URL is not set, and no embedded PostgreSQL runs under ${config.dataDir} (npm start brings one up)`,
    );
  }
  return url;
}
