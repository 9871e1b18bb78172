import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { startChild, type Child } from './children.js';

/** What runs because of us, until we stop it. */
export interface Parts {
  /** In the order of their start. */
  readonly running: Part[];
  /** Resolves with the first part that ended for good while it was needed, and the end of its log. */
  readonly death: Promise<string>;
  readonly reportDeath: (why: string) => void;
  /** While things start, a death ends it all; once they serve, what dies is started again; then they stop. */
  phase: 'starting' | 'serving' | 'stopping';
  readonly deathsAtMs: number[];
}

export interface Part {
  readonly name: string;
  /** Parts of the same layer stop together, the lowest layer last. */
  readonly layer: 'service' | 'temporal' | 'postgres';
  /** Resolves when it ends, in words. */
  readonly died: Promise<string>;
  stop(): Promise<void>;
  kill(): void;
  /** Starts its like in its place: same port, same data. */
  again(): Promise<Part>;
}

export function noPartsYet(): Parts {
  let reportDeath: (why: string) => void = () => undefined;
  const death = new Promise<string>((resolve) => (reportDeath = resolve));
  return { running: [], death, reportDeath, phase: 'starting', deathsAtMs: [] };
}

export function addPart(parts: Parts, part: Part, say: (line: string) => void): void {
  parts.running.push(part);
  void part.died.then((why) => replace(parts, part, why, say));
}

async function replace(parts: Parts, part: Part, why: string, say: (line: string) => void): Promise<void> {
  if (parts.phase === 'stopping') return;
  const news = `${part.name} ended unexpectedly: ${why}`;
  if (parts.phase === 'starting' || diesTooOften(parts)) {
    parts.reportDeath(news);
    return;
  }
  say(`${news}\nStarting ${part.name} again`);
  parts.running.splice(parts.running.indexOf(part), 1);
  try {
    addPart(parts, await part.again(), say);
  } catch (error) {
    parts.reportDeath((error as Error).message);
  }
}

function diesTooOften({ deathsAtMs }: Parts): boolean {
  deathsAtMs.push(Date.now());
  return deathsAtMs.filter((atMs) => atMs > Date.now() - 60_000).length > DEATHS_A_MINUTE_MAX;
}

/** A service of ours: SIGTERM lets it finish what it began, for so long. */
export function servicePart(child: Child, drainMs: number, again: () => Promise<Part>): Part {
  return {
    name: child.name,
    layer: 'service',
    died: child.ended.then((why) => `${why}\n${child.logTail()}`),
    stop: () => child.stop('SIGTERM', drainMs),
    kill: () => child.kill(),
    again,
  };
}

/** @throws Error when a part dies before the work is done. */
export async function whileAllLive<T>(parts: Parts, work: Promise<T>): Promise<T> {
  // Whoever loses the race below may still fail while everything stops; that is no news by then.
  work.catch(() => undefined);
  const outcome = await Promise.race([work.then((value) => ({ value })), parts.death]);
  if (typeof outcome === 'string') throw new Error(outcome);
  return outcome.value;
}

/** First the services, then what they store their work in. */
export async function stopParts(parts: Parts, hurried: Promise<void>): Promise<void> {
  parts.phase = 'stopping';
  const { running } = parts;
  void hurried.then(() => running.forEach((part) => part.kill()));
  for (const layer of ['service', 'temporal', 'postgres'] as const) {
    await Promise.allSettled(running.filter((part) => part.layer === layer).map((part) => part.stop()));
  }
}

export interface NodeProgram {
  readonly name: string;
  /** Absolute. */
  readonly script: string;
  readonly args?: readonly string[];
  /** Of Node itself; unless given, those that make a log readable. */
  readonly flags?: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly dataDir: string;
  readonly readsOutput?: boolean;
}

/** Its log is `logs/<name>.log` under the data directory. */
export function startNode({
  name,
  script,
  args = [],
  flags = ['--enable-source-maps'],
  env,
  dataDir,
  readsOutput = false,
}: NodeProgram): Child {
  return startChild({
    name,
    command: process.execPath,
    args: [...flags, script, ...args],
    env,
    logFile: join(dataDir, 'logs', `${name}.log`),
    readsOutput,
    // A crash of the launcher is a crash of all: there would be no database left to drain into.
    orphanSignal: 'KILL',
  });
}

/** What it printed. @throws Error with the end of its log where it failed. */
export async function runNode(program: Omit<NodeProgram, 'readsOutput'>): Promise<string> {
  const child = startNode({ ...program, readsOutput: true });
  // A process may be gone before the last that it printed is read.
  const [output, why] = await Promise.all([text(outputOf(child)), child.ended]);
  if (why !== 'exited with 0') failed(child, why);
  return output.trim();
}

/**
 * Waits for `/health/ready`, once the child's own log says that it listens: somebody else on that port would answer too.
 * @throws Error with the last answer and the end of its log.
 */
export async function untilReady(origin: string, child: Child, listening: string): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let last = 'no answer';
  while (!child.hasEnded()) {
    try {
      const response = await fetch(`${origin}/health/ready`, {
        signal: AbortSignal.timeout(LOOK_TIMEOUT_MS),
      });
      last = await response.text();
      if (response.ok && child.logTail().includes(listening)) return;
    } catch {
      // Not listening yet.
    }
    if (Date.now() > deadline) failed(child, `did not get ready (${last.slice(0, 500)})`);
    await pause(READY_LOOK_MS);
  }
  failed(child, await child.ended);
}

export function outputOf(child: Child): Readable {
  return child.output ?? failed(child, 'has no output to read');
}

export function failed(child: Child, why: string): never {
  throw new Error(`${child.name} ${why}. The end of its log:\n${child.logTail()}`);
}

/** A process that can't live is not started for ever; a person who kills things gets this many. */
const DEATHS_A_MINUTE_MAX = 100;
const READY_TIMEOUT_MS = 90_000;
const READY_LOOK_MS = 50;
const LOOK_TIMEOUT_MS = 5_000;
