import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

export interface TemporalServerBinaries {
  readonly server: string;
  /** Makes the server's tables. */
  readonly sqlTool: string;
}

/**
 * Temporal's own server and its schema tool: from PATH, built before, or built now, in this order.
 * @throws Error whose message lists what was tried and what to do.
 */
export async function findTemporalServerBinaries(
  log: (line: string) => void,
): Promise<TemporalServerBinaries> {
  const built = join(homedir(), '.cache', 'estorno', 'bin', CACHED_NAME);
  const tried: string[] = [];
  const places: readonly [string, () => Promise<TemporalServerBinaries>][] = [
    ['on PATH', () => usable({ server: 'temporal-server', sqlTool: 'temporal-sql-tool' })],
    [`built before, in ${built}`, () => usable(builtIn(built))],
    [`go install ${SOURCE}/cmd/server@v${TEMPORAL_SERVER_VERSION}`, () => build(built, log)],
  ];
  for (const [where, find] of places) {
    try {
      return await find();
    } catch (error) {
      tried.push(`  - ${where}: ${(error as Error).message}`);
    }
  }
  throw new Error(
    [
      `No Temporal server ${TEMPORAL_SERVER_VERSION} could be found or built. Tried:`,
      ...tried,
      'Install Go 1.26 (https://go.dev/dl) on PATH, or set TEMPORAL_ADDRESS to a server of your own.',
    ].join('\n'),
  );
}

export const TEMPORAL_SERVER_VERSION = '1.32.0';
const SOURCE = 'go.temporal.io/server';
const CACHED_NAME = `temporal-server-${TEMPORAL_SERVER_VERSION}-${process.platform}-${process.arch}`;
const ANSWER_TIMEOUT_MS = 20_000;
const BUILD_TIMEOUT_MS = 900_000;
const run = promisify(execFile);

/** By the names that `go install` gives them. */
function builtIn(folder: string): TemporalServerBinaries {
  return { server: join(folder, 'server'), sqlTool: join(folder, 'sql') };
}

/** The tables must be of the server's own version, and figures are compared between machines: no other one will do. */
async function usable(binaries: TemporalServerBinaries): Promise<TemporalServerBinaries> {
  for (const binary of [binaries.server, binaries.sqlTool]) {
    const said = await words(binary, ['--version']);
    if (!said.includes(TEMPORAL_SERVER_VERSION)) throw new Error(`${binary} is not it (${said.trim()})`);
  }
  return binaries;
}

/** Aside and then renamed, so that a half-built one is never taken; of several builders the first wins. */
async function build(folder: string, log: (line: string) => void): Promise<TemporalServerBinaries> {
  await words('go', ['version']);
  log(
    `building the Temporal server ${TEMPORAL_SERVER_VERSION} from its source (go install, once, some minutes)`,
  );
  await mkdir(dirname(folder), { recursive: true });
  const draft = await mkdtemp(`${folder}.building-`);
  try {
    const go = [`GOBIN=${draft}`, 'CGO_ENABLED=0', 'go', 'install'];
    for (const command of ['cmd/server', 'cmd/tools/sql']) {
      await words('env', [...go, `${SOURCE}/${command}@v${TEMPORAL_SERVER_VERSION}`], BUILD_TIMEOUT_MS);
    }
    await usable(builtIn(draft));
    await rename(draft, folder).catch(() => usable(builtIn(folder)));
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return builtIn(folder);
}

/** @throws Error with the last line that the program wrote. */
async function words(
  program: string,
  args: readonly string[],
  timeoutMs = ANSWER_TIMEOUT_MS,
): Promise<string> {
  try {
    return (await run(program, args, { timeout: timeoutMs })).stdout;
  } catch (error) {
    const { code, stderr = '' } = error as NodeJS.ErrnoException & { stderr?: string };
    const why =
      code === 'ENOENT' ? 'not there' : stderr.trim().split('\n').at(-1) || (error as Error).message;
    throw new Error(`${program}: ${why}`, { cause: error });
  }
}
