import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

declare global {
  var realParts: ChildProcess | undefined;
}

/** Brings up one PostgreSQL, one Temporal server and one workflow bundle for the whole run, in a process of their own. */
export default async function startRealParts(jest: { rootDir: string }): Promise<void> {
  const setup = join(jest.rootDir, 'test', 'setup');
  const serving = spawn(
    process.execPath,
    ['--import', join(setup, 'typescript.mjs'), join(setup, 'serve-real-parts.ts')],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  globalThis.realParts = serving;
  const lines = createInterface({ input: serving.stdout });
  const firstLine = await Promise.race([
    new Promise<string>((resolve) => lines.once('line', resolve)),
    new Promise<never>((_, reject) =>
      serving.once('exit', () => reject(new Error('the real parts of the tests did not start; see above'))),
    ),
  ]);
  Object.assign(process.env, JSON.parse(firstLine));
}
