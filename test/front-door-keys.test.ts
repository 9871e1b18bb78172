import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { compileService, type CompiledService } from './setup/compiled-service.js';
import { createTestDatabase, temporalAddress, type TestDatabase } from './setup/real-parts.js';

describe('without FRONT_DOOR_KEYS', () => {
  let compiled: CompiledService;
  let database: TestDatabase;
  beforeAll(async () => {
    [compiled, database] = await Promise.all([compileService(), createTestDatabase()]);
  });
  afterAll(async () => {
    await Promise.all([compiled.remove(), database.drop()]);
  });

  it('neither the API nor a worker starts: each names the setting and says how to make one', async () => {
    const refused = { code: 1, said: expect.stringMatching(/FRONT_DOOR_KEYS: is missing.*openssl rand/) };
    expect(await Promise.all([run('main'), run('worker')])).toEqual([refused, refused]);
  }, 20_000);

  it('the database is migrated and API keys are made all the same', async () => {
    const create = ['create', '--actor', 'ana', '--role', 'viewer'];
    expect(await Promise.all([run('migrate'), run('key', create)])).toMatchObject([{ code: 0 }, { code: 0 }]);
  }, 20_000);

  async function run(entry: string, args: readonly string[] = []): Promise<{ code: number; said: string }> {
    const child = spawn(process.execPath, [`${compiled.builtDir}/src/${entry}.js`, ...args], {
      env: { DATABASE_URL: database.url, TEMPORAL_ADDRESS: temporalAddress() },
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 15_000,
    });
    const [[code], said] = await Promise.all([once(child, 'exit'), text(child.stderr)]);
    return { code: code as number, said };
  }
});
