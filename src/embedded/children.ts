import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';

export interface ChildOptions {
  /** As people call it in messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Its output is added there; null: thrown away. */
  readonly logFile: string | null;
  /** Standard output is read by us instead of going to the log. */
  readonly readsOutput?: boolean;
  /** What the child gets when this process ends without having stopped it, `kill -9` included. */
  readonly orphanSignal: 'INT' | 'TERM' | 'KILL';
  /** Put before everything else: a command that becomes the child after changing who it is. */
  readonly becomes?: readonly string[];
  readonly uid?: number;
  readonly gid?: number;
}

export interface Child {
  readonly name: string;
  readonly pid: number;
  readonly output: Readable | null;
  /** Why it ended, in words; never rejects. */
  readonly ended: Promise<string>;
  hasEnded(): boolean;
  /** Asks, waits, insists; resolves when the process is gone. */
  stop(signal: NodeJS.Signals, graceMs: number): Promise<void>;
  kill(): void;
  /** The last lines that it wrote to its log. */
  logTail(): string;
}

/**
 * Starts a process that does not outlive this one, in a group of its own: a Ctrl-C at the terminal reaches only us,
 * so that we decide in which order things stop.
 */
export function startChild(options: ChildOptions): Child {
  const [command = options.command, ...args] = [
    ...(options.becomes ?? []),
    ...tether(options.orphanSignal),
    options.command,
    ...options.args,
  ];
  const log = options.logFile === null ? 'ignore' : openLog(options.logFile);
  const logStart = typeof log === 'number' ? fstatSync(log).size : 0;
  const spawned = spawn(command, args, {
    env: options.env,
    detached: true,
    stdio: [hasSetpriv() ? 'ignore' : 'pipe', options.readsOutput ? 'pipe' : log, log],
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  if (typeof log === 'number') closeSync(log);
  return watch(spawned, options, logStart);
}

/** The last lines of a log, of what was added after `fromByte`. */
export function tailOf(logFile: string, fromByte = 0): string {
  try {
    return readFileSync(logFile)
      .subarray(fromByte)
      .toString('utf8')
      .trimEnd()
      .split('\n')
      .slice(-TAIL_LINES)
      .join('\n');
  } catch {
    return '';
  }
}

const TAIL_LINES = 15;
const LOG_BYTES_MAX = 10_000_000;

function watch(spawned: ChildProcess, options: ChildOptions, logStart: number): Child {
  let endedBecause: string | null = null;
  const ended = new Promise<string>((resolve) => {
    const end = (why: string) => {
      endedBecause ??= why;
      resolve(endedBecause);
    };
    spawned.once('error', (error: NodeJS.ErrnoException) =>
      end(`could not start (${error.code ?? error.message})`),
    );
    spawned.once('exit', (code, signal) =>
      end(signal === null ? `exited with ${code}` : `ended by ${signal}`),
    );
  });
  // The pipe only tells the watching shell that we live; it breaks when the child ends first.
  spawned.stdin?.on('error', () => undefined);
  const pid = spawned.pid ?? 0;
  const kill = () => {
    if (endedBecause === null && pid > 0) signalGroup(pid, 'SIGKILL');
  };
  return {
    name: options.name,
    pid,
    output: spawned.stdout,
    ended,
    hasEnded: () => endedBecause !== null,
    kill,
    logTail: () => (options.logFile === null ? '' : tailOf(options.logFile, logStart)),
    stop: async (signal, graceMs) => {
      if (endedBecause !== null) return;
      spawned.kill(signal);
      const insist = setTimeout(kill, graceMs);
      await ended;
      clearTimeout(insist);
    },
  };
}

function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  const log = openSync(file, 'a', 0o600);
  if (fstatSync(log).size > LOG_BYTES_MAX) ftruncateSync(log);
  return log;
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It ended in between.
  }
}

let setprivFound: boolean | undefined;

/** Linux can signal a process when its parent dies; elsewhere, and with BusyBox, a shell has to watch. */
function hasSetpriv(): boolean {
  setprivFound ??=
    process.platform === 'linux' && spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true']).status === 0;
  return setprivFound;
}

function tether(orphanSignal: ChildOptions['orphanSignal']): string[] {
  return hasSetpriv()
    ? ['setpriv', '--pdeathsig', orphanSignal]
    : ['/bin/sh', '-c', WATCHING_SHELL, 'sh', orphanSignal];
}

/** Runs a command until it ends or the shell's own standard input does, which is held open by our process alone. */
const WATCHING_SHELL = `
orphan_signal=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
trap 'kill -TERM $child 2>/dev/null' TERM
trap 'kill -INT $child 2>/dev/null' INT
{ read -r nothing <&3; kill -$orphan_signal $child; } >/dev/null 2>&1 &
watcher=$!
wait $child; code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
kill -KILL $watcher 2>/dev/null
exit $code
`;
