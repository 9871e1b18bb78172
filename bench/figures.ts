import { CONSUMERS, totalCpuMs, type Reading } from './meters.js';

/** What one contender came to in one round. */
export interface Turn {
  readonly contender: string;
  readonly perSecond: number;
  readonly saturated: Reading;
  readonly halfLoad: Reading;
  readonly askedPerSecond: number;
  readonly postMs: Spans;
  /** From the request until the client could know that the amount is reserved. */
  readonly verdictMs: Spans;
  readonly endToEndMs: Spans;
  readonly events: number;
  readonly transitions: number;
  /** Null: the engine does not tell. */
  readonly actions: number | null;
}

export interface Spans {
  readonly p50: number;
  readonly p99: number;
}

export function spansOf(all: readonly number[]): Spans {
  const sorted = all.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

export interface Figure {
  readonly name: string;
  readonly digits: number;
  /** Null: not known here. */
  readonly of: (turn: Turn) => number | null;
}

export const FIGURES: readonly Figure[] = [
  { name: 'refunds/s at saturation', digits: 1, of: (turn) => turn.perSecond },
  { name: 'CPU ms a refund at saturation', digits: 2, of: (turn) => totalCpuMs(turn.saturated) },
  ...CONSUMERS.map((consumer) => ({
    name: `  ${consumer}`,
    digits: 2,
    of: (turn: Turn) => turn.saturated.cpuMs[consumer],
  })),
  { name: 'at half of it, refunds/s', digits: 1, of: (turn) => turn.askedPerSecond },
  { name: 'POST p50, ms', digits: 1, of: (turn) => turn.postMs.p50 },
  { name: 'POST p99, ms', digits: 1, of: (turn) => turn.postMs.p99 },
  { name: 'reserved p50, ms', digits: 1, of: (turn) => turn.verdictMs.p50 },
  { name: 'reserved p99, ms', digits: 1, of: (turn) => turn.verdictMs.p99 },
  { name: 'end to end p50, ms', digits: 1, of: (turn) => turn.endToEndMs.p50 },
  { name: 'end to end p99, ms', digits: 1, of: (turn) => turn.endToEndMs.p99 },
  { name: 'CPU ms a refund at half', digits: 2, of: (turn) => totalCpuMs(turn.halfLoad) },
  { name: 'WAL bytes a refund', digits: 0, of: (turn) => turn.halfLoad.walBytes },
  { name: 'history events', digits: 1, of: (turn) => turn.events },
  { name: 'state transitions', digits: 1, of: (turn) => turn.transitions },
  { name: 'actions', digits: 1, of: (turn) => turn.actions },
];

/** One line a figure: the median of each contender, and ours against each other one, round by round. */
export function tableOf(turns: readonly Turn[]): string[] {
  const names = [...new Set(turns.map(({ contender }) => contender))];
  const [ours = '', ...others] = names;
  const heads = ['', ...names, ...others.map((other) => `${ours} / ${other}`)];
  const lines = FIGURES.map((figure) => {
    const by = new Map(
      names.map((name) => [name, turns.filter((t) => t.contender === name).map((t) => figure.of(t))]),
    );
    return [
      figure.name,
      ...names.map((name) => shown(medianOf(known(by.get(name))), figure.digits)),
      ...others.map((other) => ratioOf(by.get(ours) ?? [], by.get(other) ?? [])),
    ];
  });
  return aligned([heads, heads.map(() => '-'), ...lines]);
}

/** The median of the rounds' ratios, and the least and the greatest of them. */
function ratioOf(ours: readonly (number | null)[], others: readonly (number | null)[]): string {
  const ratios = ours.flatMap((own, round) => {
    const other = others[round];
    return own === null || other === null || other === undefined || other === 0 ? [] : [own / other];
  });
  if (ratios.length === 0) return '–';
  const [least, greatest] = [Math.min(...ratios), Math.max(...ratios)];
  return `${medianOf(ratios).toFixed(2)} (${least.toFixed(2)}–${greatest.toFixed(2)})`;
}

function known(values: readonly (number | null)[] = []): number[] {
  return values.filter((value) => value !== null);
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

function shown(value: number, digits: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(digits);
}

/** As a table of Markdown, so that it can be kept as it is. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  return rows.map((row) => {
    const cells = row.map((cell, at) => pad(cell, widths[at] ?? 0, at));
    return `| ${cells.join(' | ')} |`;
  });
}

function pad(cell: string, width: number, column: number): string {
  if (cell === '-') return '-'.repeat(width);
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}
