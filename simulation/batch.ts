/** Many schedules, added up; the first broken promise ends them. */
import { REAL_RULES, type Rules } from './rules.js';
import { play } from './schedule.js';

export interface Seeds {
  readonly first: number;
  readonly count: number;
  /** Every so manieth seed from the first: threads share a range by it. */
  readonly step: number;
}

export interface Tally {
  readonly played: number;
  readonly moves: number;
  readonly ends: Readonly<Record<string, number>>;
  readonly approvals: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly failure: { readonly seed: number; readonly broken: string } | null;
}

export function playAll({ first, count, step }: Seeds, rules: Rules = REAL_RULES): Tally {
  const ends: Record<string, number> = {};
  const approvals: Record<string, number> = {};
  const faults: Record<string, number> = {};
  let moves = 0;
  for (let played = 0; played < count; played += 1) {
    const seed = first + played * step;
    const result = play(seed, rules);
    moves += result.moves;
    countAll(ends, result.ends);
    countAll(approvals, result.approvals);
    addUp(faults, result.faults);
    const { broken } = result;
    if (broken !== null) {
      return { played: played + 1, moves, ends, approvals, faults, failure: { seed, broken } };
    }
  }
  return { played: count, moves, ends, approvals, faults, failure: null };
}

export function together(tallies: readonly Tally[]): Tally {
  const ends: Record<string, number> = {};
  const approvals: Record<string, number> = {};
  const faults: Record<string, number> = {};
  for (const tally of tallies) {
    addUp(ends, tally.ends);
    addUp(approvals, tally.approvals);
    addUp(faults, tally.faults);
  }
  const failures = tallies.flatMap(({ failure }) => failure ?? []);
  return {
    played: tallies.reduce((sum, { played }) => sum + played, 0),
    moves: tallies.reduce((sum, { moves }) => sum + moves, 0),
    ends,
    approvals,
    faults,
    failure: failures.sort((one, other) => one.seed - other.seed)[0] ?? null,
  };
}

function countAll(sums: Record<string, number>, names: readonly string[]): void {
  for (const name of names) sums[name] = (sums[name] ?? 0) + 1;
}

function addUp(sums: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
}
