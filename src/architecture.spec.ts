import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const root = join(import.meta.dirname, '..');
const notOurs = new Set(['node_modules', 'dist', 'coverage', '.git', '.estorno', 'certificates']);
const files = filesBelow('');
const code = files.filter((path) => /\.([cm]?[jt]s)$/.test(path));
const documents = files.filter((path) => path.endsWith('.md'));
const written = files.filter(
  (path) =>
    /\.([cm]?[jt]s|md|sql|ya?ml|json|example)$|(^|\/)(Dockerfile|run|\.\w+ignore)$/.test(path) &&
    path !== 'package-lock.json',
);

const LINES_MAX = 400;
const OUR_FOLDERS =
  /^(src|workflows|activities|simulators|simulation|lab|bench|migrations|config|test|docs|scripts|\.ci)\//;
const VAGUE_NAMES = [
  'util',
  'utils',
  'helper',
  'helpers',
  'common',
  'shared',
  'types',
  'manager',
  'base',
  'misc',
];

describe('the tree', () => {
  it('names every file and folder for what it holds', () => {
    const vague = code.filter((path) =>
      path
        .split('/')
        .flatMap((part) => part.split(/[.-]/))
        .some((word) => VAGUE_NAMES.includes(word)),
    );
    expect(vague).toEqual([]);
  });

  it('has no interface file beside the one contract between workflows and activities', () => {
    expect(code.filter((path) => path.endsWith('interface.ts'))).toEqual(['activities/interface.ts']);
  });

  it(`keeps every file under ${LINES_MAX} lines, so that it has one reason to exist`, () => {
    const long = code
      .filter((path) => /^(src|workflows|activities)\//.test(path))
      .filter((path) => read(path).trimEnd().split('\n').length > LINES_MAX);
    expect(long).toEqual([]);
  });

  it('re-exports by name alone', () => {
    expect(matching(code, /^export \*/m)).toEqual([]);
  });

  it('puts every test where a test run finds it', () => {
    const lost = code.filter(
      (path) =>
        (path.endsWith('.test.ts') && !path.startsWith('test/')) ||
        (path.endsWith('.spec.ts') && !/^(src|workflows|activities|simulators|simulation)\//.test(path)),
    );
    expect(lost).toEqual([]);
  });

  it('skips and focuses no test', () => {
    expect(
      matching(code, /\b(it|test|describe)\.(skip|only|todo|failing)\b|\b[fx](it|test|describe)\(/, [
        // Where a machine has no browser.
        'test/setup/browser.ts',
      ]),
    ).toEqual([]);
  });

  it('speaks of no path of the machine that it was written on', () => {
    expect(matching(written, /(?<![\w.:/-])\/(work|root|Users|home\/(?!node\b)\w+)\//)).toEqual([]);
  });

  it('leaves no word of unfinished work', () => {
    expect(matching(code, /\b(TODO|FIXME|XXX|HACK)\b/, ['src/architecture.spec.ts'])).toEqual([]);
  });
});

describe('the documents', () => {
  it.each(documents)('%s names only paths that exist', (document) => {
    const missing = [...pathsIn(read(document), document)].filter((path) => !existsSync(join(root, path)));
    expect(missing).toEqual([]);
  });

  it.each(documents)('%s names only npm scripts that exist', (document) => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts?: Record<string, string> };
    const named = [...read(document).matchAll(/npm run (?:-\w+ |--\w+ )*([\w:]+)/g)].map(([, name]) => name);
    expect(named.filter((name) => name !== undefined && !(name in (scripts ?? {})))).toEqual([]);
  });

  it('.env.example names only settings that something reads', () => {
    const readers = [...files.filter((path) => path.startsWith('src/')), 'docker-compose.yml']
      .map(read)
      .join('\n');
    const unread = [...read('.env.example').matchAll(/^#? ?([A-Z][A-Z_]+)=/gm)]
      .map(([, name = '']) => name)
      // Temporal's own library reads its settings by their documented names.
      .filter((name) => !name.startsWith('TEMPORAL_'))
      .filter((name) => !readers.includes(name));
    expect(unread).toEqual([]);
  });
});

/** Paths from the root of the project: in code spans that begin with one of its folders, and in relative links. */
function* pathsIn(text: string, document: string): Generator<string> {
  const withoutBlocks = text.replace(/^```[\s\S]*?^```/gm, '');
  for (const [, span = ''] of withoutBlocks.matchAll(/`([^`\s]+)`/g)) {
    // A placeholder ends the part of a path that can be looked up.
    const path = span.replace(/[<{*…].*$/, '').replace(/:\d+$/, '');
    if (OUR_FOLDERS.test(path)) yield path;
  }
  for (const [, target = ''] of withoutBlocks.matchAll(/\]\(([^)\s#]+)[^)]*\)/g)) {
    if (!/^[a-z]+:/.test(target)) yield posix.join(dirname(document), target);
  }
}

function matching(paths: readonly string[], pattern: RegExp, except: readonly string[] = []): string[] {
  return paths.filter((path) => !except.includes(path) && pattern.test(read(path)));
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => !notOurs.has(basename(entry.name)))
    .flatMap((entry) => {
      const path = posix.join(folder, entry.name);
      if (entry.isDirectory()) return filesBelow(path);
      return entry.isFile() ? [path] : [];
    });
}
