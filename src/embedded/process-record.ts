import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { basename, dirname } from 'node:path';

/** A 0600 file that names a running process and what others need to know to use it. */
export interface ProcessRecord<Facts> {
  readonly pid: number;
  readonly facts: Facts;
}

export function writeProcessRecord(file: string, pid: number, facts: unknown): void {
  const draft = writeDraft(file, pid, facts);
  renameSync(draft, file);
}

/** Null where there is no such file, or its process has ended. */
export function readProcessRecord<Facts>(file: string): ProcessRecord<Facts> | null {
  try {
    const { pid, startMark, facts } = JSON.parse(readFileSync(file, 'utf8')) as StoredRecord<Facts>;
    return startMark === startMarkOf(pid) ? { pid, facts } : null;
  } catch {
    return null;
  }
}

/** Takes the file for this process. @returns the pid of the live process that has it, or null when it is ours now. */
export function claimProcessRecord(file: string): number | null {
  const draft = writeDraft(file, process.pid, {});
  try {
    for (;;) {
      try {
        linkSync(draft, file);
        return null;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = readProcessRecord(file);
      if (holder !== null) return holder.pid;
      // Renamed and not removed: another claimer may have replaced the dead file since it was read.
      const aside = `${draft}.dead`;
      renameSync(file, aside);
      if (readProcessRecord(aside) !== null) linkSync(aside, file);
      rmSync(aside);
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/**
 * What tells a process from a later one with the same pid: its start in the system's own words.
 * Null where no such process runs.
 */
export function startMarkOf(pid: number): string | null {
  if (process.platform === 'linux') return procFields(pid)?.[PROC_START] ?? null;
  return askPs(pid, 'lstart');
}

/** Null where no such process runs. */
export function parentOf(pid: number): number | null {
  const parent = process.platform === 'linux' ? procFields(pid)?.[PROC_PARENT] : askPs(pid, 'ppid');
  return parent === undefined || parent === null ? null : Number(parent);
}

/** The program's name without its folder; null where no such process runs. */
export function commandOf(pid: number): string | null {
  if (process.platform !== 'linux') return basename(askPs(pid, 'comm') ?? '') || null;
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return null;
  }
}

interface StoredRecord<Facts> {
  readonly pid: number;
  readonly startMark: string | null;
  readonly facts: Facts;
}

function writeDraft(file: string, pid: number, facts: unknown): string {
  mkdirSync(dirname(file), { recursive: true });
  const draft = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const record: StoredRecord<unknown> = { pid, startMark: startMarkOf(pid), facts };
  writeFileSync(draft, `${JSON.stringify(record)}\n`, { mode: 0o600, flag: 'wx' });
  return draft;
}

// Counted from the state, which follows the command's name; see proc(5).
const PROC_PARENT = 1;
const PROC_START = 19;

/** Null for the dead, zombies included. */
function procFields(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in brackets, may hold spaces and brackets itself: fields count from the last one.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? null : fields;
  } catch {
    return null;
  }
}

function askPs(pid: number, column: 'lstart' | 'ppid' | 'comm'): string | null {
  try {
    const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C' };
    return (
      execFileSync('ps', ['-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8', env }).trim() || null
    );
  } catch {
    return null;
  }
}
