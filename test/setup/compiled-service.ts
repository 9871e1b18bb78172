import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { transform } from '@swc/core';
import { workflowBundlePath } from './real-parts.js';

export interface CompiledService {
  /** Laid out as `npm run build` lays out `dist`. */
  readonly builtDir: string;
  remove(): Promise<void>;
}

/** The sources as they are now, compiled for real processes without checking types: half a second, and no `dist`. */
export async function compileService(): Promise<CompiledService> {
  const root = process.cwd();
  const home = await mkdtemp(join(tmpdir(), 'estorno-compiled-'));
  const builtDir = join(home, 'dist');
  await Promise.all(SOURCES.map((folder) => compileFolder(join(root, folder), join(builtDir, folder))));
  await Promise.all([
    copyFile(workflowBundlePath(), join(builtDir, 'workflow-bundle.js')),
    ...BESIDE.map((name) => symlink(join(root, name), join(home, name))),
  ]);
  return { builtDir, remove: () => rm(home, { recursive: true, force: true }) };
}

const SOURCES = ['src', 'workflows', 'activities', 'simulators'];
const BESIDE = ['package.json', 'node_modules', 'migrations', 'config'];

async function compileFolder(from: string, to: string): Promise<void> {
  const names = await readdir(from, { recursive: true });
  const asTheyAre = names.filter((name) => name.endsWith('.cjs'));
  const sources = names.filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'));
  await Promise.all(
    sources.map(async (name) => {
      const file = join(to, name.replace(/\.ts$/, '.js'));
      const { code } = await transform(await readFile(join(from, name), 'utf8'), COMPILER);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, code);
    }),
  );
  await Promise.all(asTheyAre.map((name) => copyFile(join(from, name), join(to, name))));
}

const COMPILER = {
  jsc: {
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
    target: 'es2023',
  },
  module: { type: 'es6' },
  swcrc: false,
} as const;
