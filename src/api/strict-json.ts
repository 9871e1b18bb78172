import { pointerOf } from './json-pointer.js';
import { invalidRequest } from './problem.js';

const DEPTH_MAX = 32;
/** So many survive a double; one more might be read as another number. */
const DIGITS_MAX = 15;
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|-?\d[\d.eE+-]*/g;

interface Frame {
  /** Null: an array. */
  readonly names: Set<string> | null;
  /** The member or the item that is read. */
  at: string | number;
  expectsName: boolean;
}

/**
 * What JSON.parse lets through and two readers would read differently: a member twice, and a number that is not kept
 * as it was written. The text must be JSON already.
 * @throws Problem 400 for these, and for more levels than any body has.
 */
export function refuseUnclearJson(text: string): void {
  const frames: Frame[] = [];
  const refuse = (detail: string) => {
    throw invalidRequest(pointerOf(frames.map(({ at }) => at)), detail);
  };
  for (const [token] of text.matchAll(TOKEN)) {
    const frame = frames.at(-1);
    const first = token.charAt(0);
    if (first === '{' || first === '[') {
      if (frames.length === DEPTH_MAX) {
        throw invalidRequest('', `is nested more than ${DEPTH_MAX} levels deep`);
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
      if (frame.names.has(name)) refuse('is there twice');
      frame.names.add(name);
    } else if (first === '-' || (first >= '0' && first <= '9')) {
      if (!isKept(token)) refuse('is a number that can not be kept as it is written');
    }
  }
}

function isKept(token: string): boolean {
  const digits = (/^-?([\d.]+)/.exec(token)?.[1] ?? '')
    .replace('.', '')
    .replace(/^0+/, '')
    .replace(/0+$/, '');
  const value = Number(token);
  if (digits.length > DIGITS_MAX || !Number.isFinite(value)) return false;
  return value === 0 ? digits === '' && !Object.is(value, -0) : true;
}
