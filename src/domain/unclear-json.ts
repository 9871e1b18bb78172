const DEPTH_MAX = 32;
/** So many survive a double; one more might be read as another number. */
const DIGITS_MAX = 15;
/** Of any layout that a person or a program gives a number; of what is longer not even the digits are looked at. */
const NUMBER_LENGTH_MAX = 64;
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|-?\d[\d.eE+-]*/g;

/** What is wrong, and where. */
export interface UnclearJson {
  readonly path: readonly (string | number)[];
  readonly detail: string;
}

interface Frame {
  /** Null: an array. */
  readonly names: Set<string> | null;
  /** The member or the item that is read. */
  at: string | number;
  expectsName: boolean;
}

/**
 * What JSON.parse lets through and two readers would read differently: a member twice, one that would reach a prototype,
 * a number that is not kept as it was written; and more levels than any text of ours has. Null: it has one reading.
 * The text must be JSON already.
 */
export function findUnclearJson(text: string): UnclearJson | null {
  const frames: Frame[] = [];
  const here = (detail: string): UnclearJson => ({ path: frames.map(({ at }) => at), detail });
  for (const [token] of text.matchAll(TOKEN)) {
    const frame = frames.at(-1);
    const first = token.charAt(0);
    if (first === '{' || first === '[') {
      if (frames.length === DEPTH_MAX) {
        return { path: [], detail: `is nested more than ${DEPTH_MAX} levels deep` };
      }
      const isObject = first === '{';
      frames.push({ names: isObject ? new Set() : null, at: isObject ? '' : 0, expectsName: isObject });
    } else if (first === '}' || first === ']') {
      frames.pop();
    } else if (first === ',' && frame) {
      if (frame.names) frame.expectsName = true;
      else frame.at = Number(frame.at) + 1;
    } else if (first === '"' && frame?.names && frame.expectsName) {
      const name = JSON.parse(token) as string;
      frame.at = name;
      frame.expectsName = false;
      if (name === '__proto__') return here('is no name for a member');
      if (frame.names.has(name)) return here('is there twice');
      frame.names.add(name);
    } else if (first === '-' || (first >= '0' && first <= '9')) {
      if (!isKept(token)) return here('is a number that can not be kept as it is written');
    }
  }
  return null;
}

function isKept(token: string): boolean {
  // Before all else: the patterns below take the square of its length.
  if (token.length > NUMBER_LENGTH_MAX) return false;
  const digits = (/^-?([\d.]+)/.exec(token)?.[1] ?? '')
    .replace('.', '')
    .replace(/^0+/, '')
    .replace(/0+$/, '');
  const value = Number(token);
  if (digits.length > DIGITS_MAX || !Number.isFinite(value)) return false;
  return value === 0 ? digits === '' && !Object.is(value, -0) : true;
}
