import { commandOf, parentOf } from './process-record.js';

export interface Ending {
  /** Resolves with the reason as soon as anybody wants the launcher to stop. */
  readonly asked: Promise<string>;
  /** Resolves when somebody asks again: what still stops politely is to be killed. */
  readonly hurried: Promise<void>;
  wasAsked(): boolean;
}

/** Ctrl-C, `kill`, a closed terminal, and an npm above us that died without a word. */
export function watchForEnding(isUnderNpm: boolean): Ending {
  let askedAtMs: number | null = null;
  let ask: (why: string) => void = () => undefined;
  let hurry: () => void = () => undefined;
  const asked = new Promise<string>((resolve) => (ask = resolve));
  const hurried = new Promise<void>((resolve) => (hurry = resolve));

  const onWish = (why: string) => {
    if (askedAtMs === null) {
      askedAtMs = Date.now();
      ask(why);
    } else if (Date.now() - askedAtMs > SAME_WISH_MS) {
      hurry();
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => onWish(signal));

  if (isUnderNpm) {
    const born = ancestry();
    const look = setInterval(() => {
      if (ancestry() === born) return;
      clearInterval(look);
      onWish('npm is gone');
    }, LOOK_AT_PARENT_MS);
    look.unref();
  }
  // Whoever read our output may be gone before us; that must not cut the stopping short.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

  return { asked, hurried, wasAsked: () => askedAtMs !== null };
}

/** npm passes a Ctrl-C on that the terminal has already given us: two signals this close are one wish. */
const SAME_WISH_MS = 1_000;
const LOOK_AT_PARENT_MS = 250;
const SHELLS = new Set(['sh', 'ash', 'dash', 'bash', 'zsh']);

/** Our parent and, where that is the shell which npm runs scripts in, npm above it: whoever dies is replaced here. */
function ancestry(): string {
  const parentPid = process.ppid;
  return SHELLS.has(commandOf(parentPid) ?? '') ? `${parentPid} ${parentOf(parentPid)}` : String(parentPid);
}
