import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** What global setup hands to the tests. */
export interface RealPartsEnv {
  readonly TEST_POSTGRES_URL: string;
  readonly TEST_POSTGRES_TEMPLATE: string;
  readonly TEST_TEMPORAL_ADDRESS: string;
  readonly TEST_WORKFLOW_BUNDLE: string;
}

export interface TestDatabase {
  readonly url: string;
  /** Cuts whoever is still connected. */
  drop(): Promise<void>;
}

/** A migrated, empty database of one's own: one a test file, or one a test. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await askServer(`CREATE DATABASE ${name} TEMPLATE ${handedOver('TEST_POSTGRES_TEMPLATE')}`);
  const url = new URL(handedOver('TEST_POSTGRES_URL'));
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => askServer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

/** Of a dev server whose workflows may skip time and which knows our search attributes; namespace `default`. */
export function temporalAddress(): string {
  return handedOver('TEST_TEMPORAL_ADDRESS');
}

/** For `workflowBundle: { codePath }`. */
export function workflowBundlePath(): string {
  return handedOver('TEST_WORKFLOW_BUNDLE', 'workflows/index.ts does not exist');
}

async function askServer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: handedOver('TEST_POSTGRES_URL') });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function handedOver(name: keyof RealPartsEnv, whyNot = 'run the test with --selectProjects real'): string {
  const value = process.env[name];
  if (value === undefined || value === '') throw new Error(`no ${name}: ${whyNot}`);
  return value;
}
