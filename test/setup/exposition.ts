import { expect } from '@jest/globals';

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = `[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"`;
const SAMPLE = new RegExp(
  `^(${NAME})(?:\\{((?:${LABEL},?)*)\\})? (nan|[+-]?inf|[-+]?[0-9.]+(?:e[+-]?[0-9]+)?)$`,
  'i',
);
const TYPES = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];

/** The text format 0.0.4, read strictly: each family once and typed before its samples, each series once. */
export function readExposition(text: string): Sample[] {
  expect(text.endsWith('\n')).toBe(true);
  const types = new Map<string, string>();
  const series = new Set<string>();
  const samples: Sample[] = [];
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const type = new RegExp(`^# TYPE (${NAME}) (\\w+)$`).exec(line);
    if (type) {
      const [, name = '', kind = ''] = type;
      expect([line, types.has(name), TYPES.includes(kind)]).toEqual([line, false, true]);
      types.set(name, kind);
    } else if (!new RegExp(`^# HELP ${NAME} .+$`).test(line)) {
      samples.push(readSample(line, types, series));
    }
  }
  return samples;
}

function readSample(line: string, types: ReadonlyMap<string, string>, series: Set<string>): Sample {
  const [, name = '', labels = '', value = ''] = SAMPLE.exec(line) ?? [];
  const isTyped = types.has(name) || types.has(name.replace(/_(bucket|sum|count)$/, ''));
  const isNew = !series.has(`${name}{${labels}}`);
  expect([line, { isTyped, isNew }]).toEqual([line, { isTyped: true, isNew: true }]);
  series.add(`${name}{${labels}}`);
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', word = '']) => [
    label,
    word,
  ]);
  return { name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) };
}

/** The one sample of these labels; null where there is none. */
export function sampleOf(
  samples: readonly Sample[],
  name: string,
  labels: Sample['labels'] = {},
): number | null {
  const found = samples.filter(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([label, word]) => sample.labels[label] === word),
  );
  expect([name, labels, found.length <= 1]).toEqual([name, labels, true]);
  return found[0]?.value ?? null;
}
