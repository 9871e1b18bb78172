import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');

interface Package {
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
}
const lock = JSON.parse(read('package-lock.json')) as { packages: Readonly<Record<string, Package>> };
const installed = Object.entries(lock.packages).filter(([path]) => path !== '');
const manifest = JSON.parse(read('package.json')) as Readonly<
  Record<'dependencies' | 'devDependencies' | 'optionalDependencies', Readonly<Record<string, string>>> & {
    allowScripts: Readonly<Record<string, boolean>>;
  }
>;

/** May be used, changed and shipped with a service of anybody's, without its sources. */
const PERMISSIVE = [
  ...['0BSD', 'Apache-2.0', 'Apache-2.0 AND MIT', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0'],
  ...['CC-BY-4.0', 'ISC', 'MIT', 'Python-2.0', 'Unlicense'],
];

describe('what others wrote', () => {
  it('runs nothing while it is installed, whichever npm installs it', () => {
    expect(read('.npmrc')).toMatch(/^ignore-scripts=true$/m);
    const names = installed.flatMap(([path, { hasInstallScript }]) =>
      hasInstallScript ? path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length) : [],
    );
    expect(names.filter((name) => manifest.allowScripts[name] !== false)).toEqual([]);
  });

  it('is the very bytes that were looked at', () => {
    expect(installed.filter(([, { integrity }]) => !integrity?.startsWith('sha512-'))).toEqual([]);
  });

  it('is asked for in exact versions', () => {
    const { dependencies, devDependencies, optionalDependencies } = manifest;
    const asked = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies });
    expect(asked.filter(([, version]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))).toEqual([]);
  });

  it('may be shipped, and docs/licences.md lists it', () => {
    const page = execFileSync(process.execPath, ['scripts/licences.mjs'], { cwd: root, encoding: 'utf8' });
    expect(read('docs/licences.md')).toBe(page);
    const licences = [...page.matchAll(/^## (.+) \(\d+\)$/gm)].map(([, licence]) => licence);
    expect(licences).toContain('MIT');
    expect(licences.filter((licence) => !PERMISSIVE.includes(licence ?? ''))).toEqual([]);
  });
});
