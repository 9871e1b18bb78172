import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';
import pg from 'pg';
import { runner } from 'node-pg-migrate';
import { startPostgres } from '../../src/embedded/postgres.js';
import { startTemporal } from '../../src/embedded/temporal.js';
import { FAILURE_CONVERTER_FILE } from '../../src/sealing/data-converter.js';
import { SEARCH_ATTRIBUTES } from '../../workflows/messages.js';
import type { RealPartsEnv } from './real-parts.js';
import { TIME_MAY_BE_SKIPPED } from './skipped-time.js';

/** Prints one JSON line with the environment of the tests, and serves until its standard input ends. */
async function serve(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'estorno-test-'));
  const log = (line: string) => process.stderr.write(`${line}\n`);
  const [postgres, temporal, workflowBundle] = await Promise.all([
    startPostgres({ dataDir, durable: false, log }),
    startTemporal({
      dataDir,
      durable: false,
      searchAttributes: SEARCH_ATTRIBUTES,
      log,
      port: 0,
      uiPort: null,
      dynamicConfig: TIME_MAY_BE_SKIPPED,
    }),
    bundleWorkflows(dataDir),
  ]);
  const template = await createTemplate(postgres.url);
  const env: RealPartsEnv = {
    TEST_POSTGRES_URL: postgres.url,
    TEST_POSTGRES_TEMPLATE: template,
    TEST_TEMPORAL_ADDRESS: temporal.address,
    TEST_WORKFLOW_BUNDLE: workflowBundle,
  };
  process.stdout.write(`${JSON.stringify(env)}\n`);

  await new Promise((resolve) => process.stdin.once('close', resolve).resume());
  await Promise.all([postgres.stop(), temporal.stop()]);
  await rm(dataDir, { recursive: true, force: true });
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Migrated once; a copy of it costs some 40 ms. */
async function createTemplate(url: string): Promise<string> {
  const name = `template_${randomBytes(4).toString('hex')}`;
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`CREATE DATABASE ${name}`);
  await client.end();
  const templateUrl = new URL(url);
  templateUrl.pathname = `/${name}`;
  await runner({
    databaseUrl: templateUrl.href,
    dir: join(ROOT, 'migrations'),
    migrationsTable: 'migrations',
    direction: 'up',
    log: () => undefined,
  });
  return name;
}

/** The empty string where there are no workflows yet: whoever needs the bundle says so. */
async function bundleWorkflows(dataDir: string): Promise<string> {
  const workflowsPath = join(ROOT, 'workflows', 'index.ts');
  if (!existsSync(workflowsPath)) return '';
  const { code } = await bundleWorkflowCode({
    workflowsPath,
    failureConverterPath: FAILURE_CONVERTER_FILE,
    logger: {
      ...console,
      log: () => undefined,
      trace: () => undefined,
      debug: () => undefined,
      info: () => undefined,
    },
    webpackConfigHook: (config) => ({
      ...config,
      resolve: { ...config.resolve, extensionAlias: { '.js': ['.ts', '.js'] } },
    }),
  });
  const file = join(dataDir, 'workflow-bundle.js');
  await writeFile(file, code);
  return file;
}

try {
  await serve();
  process.exit(0);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
