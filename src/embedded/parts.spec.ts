import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runNode } from './parts.js';

describe('a program that is run to its end', () => {
  let dataDir: string;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'estorno-parts-'));
  });
  afterAll(() => rm(dataDir, { recursive: true }));

  const run = async (source: string) => {
    const script = join(dataDir, 'program.cjs');
    await writeFile(script, source);
    return runNode({ name: 'program', script, env: {}, dataDir });
  };

  it('has all that it printed read, what arrives after its end included', async () => {
    const late = `setTimeout(() => console.log('late'), 300)`;
    const printsAfterItsEnd = `
      const { spawn } = require('node:child_process');
      spawn(process.execPath, ['-e', ${JSON.stringify(late)}], { stdio: 'inherit' }).unref();
    `;
    expect(await run(printsAfterItsEnd)).toBe('late');
  });

  it('fails with the end of its log where it failed', async () => {
    await expect(run(`console.log('half'); throw new Error('no more')`)).rejects.toThrow('no more');
  });
});
